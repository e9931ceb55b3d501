#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirescope::fuzzing::parts_split(data));
