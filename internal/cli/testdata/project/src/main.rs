//! A stand-in for a language model: it has no dependencies, so Cargo builds it
//! without the network.
use std::{env, fs, process::exit};

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--version"] => println!("tiny {}", env!("CARGO_PKG_VERSION")),
        ["init-model", path] => fs::write(path, "once upon a time").unwrap(),
        ["generate", path, device] => {
            println!("{}", fs::read_to_string(path).unwrap());
            eprintln!("generated 10 tokens in 0.1 s on {device}: some processor");
        }
        _ => {
            eprintln!("usage: tiny --version | init-model FILE | generate FILE DEVICE");
            exit(2);
        }
    }
}
