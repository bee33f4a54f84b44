// OpenMetadata's own client for Go, as its users call it. Input and output are those of java/DataHub.java.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/open-metadata/openmetadata-sdk/openmetadata-go-client/pkg/ometa"
)

func main() {
	clients := map[string]*ometa.Client{}
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		operation, token, _ := strings.Cut(lines.Text(), " ")
		client, known := clients[token]
		if !known {
			client = connect(os.Args[1], token)
			clients[token] = client
		}
		shown, err := run(client, operation)
		if err != nil {
			shown = "failed " + err.Error()
		} else {
			shown = "ok " + shown
		}
		fmt.Println(strings.Join(strings.Fields(shown), " "))
	}
}

// connect makes a client that repeats as often as it does by default, but after one second and not after 30.
func connect(server, token string) *ometa.Client {
	options := []ometa.ClientOption{ometa.WithRetry(3, time.Second)}
	if token != "none" {
		options = append(options, ometa.WithToken(token))
	}
	return ometa.NewClient(server, options...)
}

func run(client *ometa.Client, operation string) (string, error) {
	ctx := context.Background()
	switch operation {
	case "read":
		var names []string
		for table, err := range client.Tables.List(ctx, nil) {
			if err != nil {
				return "", err
			}
			names = append(names, table.Name)
		}
		return fmt.Sprint(names), nil
	case "write", "large":
		description := "orders"
		if operation == "large" {
			description = strings.Repeat("x", 1_000_000)
		}
		table, err := client.Tables.CreateOrUpdate(ctx, &ometa.CreateTable{
			Name: "orders", DatabaseSchema: "shop.sales.public", Description: &description,
			Columns: []ometa.Column{{Name: "id", DataType: "INT"}},
		})
		if err != nil {
			return "", err
		}
		return table.Name, nil
	}
	return "", fmt.Errorf("no operation %s", operation)
}
