#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirescope::fuzzing::connect_writer(data));
