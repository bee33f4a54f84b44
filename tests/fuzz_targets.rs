//! Runs the fuzz targets as ordinary tests, on their seeds, on mutated seeds and on random bytes,
//! deterministically, and on what long runs have learned (`fuzz/campaign`). `fuzz/smoke` runs them with libFuzzer, which needs
//! a nightly toolchain.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// How many inputs are derived from each seed, and how many are random.
const ROUNDS: usize = 400;
/// How many are derived from each input that was learned.
const LEARNED_ROUNDS: usize = 2;

/// xorshift64*: the same bytes on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        // Half of the time a byte that is significant to a parser.
        let special = b"{}[]\":,.;%/\\=&?#-_ \t\r\n\0\x7f\xffaA0Bearer";
        let any = self.next().to_be_bytes()[0];
        if any.is_multiple_of(2) { special[self.below(special.len())] } else { any }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(200);
        (0..len).map(|_| self.byte()).collect()
    }

    /// A few small mutations, as a fuzzer makes them.
    fn changed(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(5) {
                0 => bytes.insert(at, self.byte()),
                1 => bytes.truncate(at),
                2 if at < bytes.len() => bytes[at] = self.byte(),
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {
                    let part = bytes[at..(at + self.below(20)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        bytes
    }
}

/// The inputs of a target, in order; none if there is no such folder.
fn inputs(kind: &str, name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(name);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn run(name: &str, target: fn(&[u8])) {
    let (seeds, learned) = (inputs("seeds", name), inputs("learned", name));
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for (paths, rounds) in [(seeds, ROUNDS), (learned, LEARNED_ROUNDS)] {
        for path in paths {
            let seed = fs::read(&path).unwrap();
            assert!(seed.len() <= 4096, "{} is too long", path.display());
            target(&seed);
            for _ in 0..rounds {
                target(&noise.changed(&seed));
            }
        }
    }
    for _ in 0..ROUNDS {
        target(&noise.bytes());
    }
}

#[test]
fn every_target_upholds_its_properties() {
    for (name, target) in targets::TARGETS {
        run(name, *target);
    }
}

#[cfg(feature = "server")]
#[test]
fn every_target_of_the_server_upholds_its_properties() {
    for (name, target) in targets::SERVER_TARGETS {
        run(name, *target);
    }
}

/// A target without a program, or a program without a target, would never run in libFuzzer.
#[cfg(feature = "server")]
#[test]
fn every_target_has_a_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut programs: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    programs.sort();
    let targets = targets::TARGETS.iter().chain(targets::SERVER_TARGETS);
    let mut names: Vec<&str> = targets.map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(programs, names);
}
