// Arguments: the two base URLs, then SIZE:TRIES. Prints, for each try, the client, the size, and ok or a fault.
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const patience = 3 * time.Second

func client(version2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: version2}
	return &http.Client{Transport: transport, Timeout: patience}
}

func ask(client *http.Client, url string, size int) string {
	response, err := client.Post(url+"/api", "application/json", bytes.NewReader(make([]byte, size)))
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	if response.StatusCode == 401 && bytes.HasPrefix(body, []byte("{")) && bytes.HasSuffix(body, []byte("}")) {
		return "ok"
	}
	return fmt.Sprint(response.StatusCode, " ", string(body))
}

func main() {
	plain, secure := os.Args[1], os.Args[2]
	http1, http2 := client(false), client(true)
	for _, argument := range os.Args[3:] {
		parts := strings.Split(argument, ":")
		size, _ := strconv.Atoi(parts[0])
		tries, _ := strconv.Atoi(parts[1])
		for _, it := range []struct {
			name   string
			client *http.Client
			url    string
		}{{"go net/http h1", http1, plain}, {"go net/http TLS h1", http1, secure}, {"go net/http TLS h2", http2, secure}} {
			for count := 0; count < tries; count++ {
				fault := strings.Join(strings.Fields(ask(it.client, it.url, size)), " ")
				fmt.Printf("%s\t%d\t%s\n", it.name, size, fault)
			}
		}
	}
}
