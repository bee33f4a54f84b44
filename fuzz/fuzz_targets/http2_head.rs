#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| metagate_fuzz::http2_head(data));
