//! Builds the native library with CMake and its bridge with cxx.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    for name in [
        "CUDA_HOME",
        "CUDA_PATH",
        "TINYLM_CUDA_ARCHITECTURES",
        "TINYLM_CXX_MARCH",
    ] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/native.rs");
    println!("cargo:rerun-if-changed=cxx");
    let native = Path::new(&var("CARGO_MANIFEST_DIR")).join("../../native");
    println!("cargo:rerun-if-changed={}", native.display());

    // The bridge first: it needs the native library, so it has to come before
    // it on the link line.
    cxx_build::bridge("src/native.rs")
        .file("cxx/bridge.cc")
        .include(native.join("include"))
        .std("c++17")
        .compile("tinylm_bridge");

    let mut config = cmake::Config::new(&native);
    config.generator("Ninja").define(
        "TINYLM_CXX_MARCH",
        env::var("TINYLM_CXX_MARCH").unwrap_or_else(|_| "native".into()),
    );
    let cuda = env::var_os("CARGO_FEATURE_CUDA").is_some().then(cuda_home);
    match &cuda {
        Some(home) => {
            config
                .define("TINYLM_CUDA", "ON")
                .define("CMAKE_CUDA_COMPILER", nvcc(home))
                .define("CMAKE_CUDA_ARCHITECTURES", cuda_architectures());
        }
        None => {
            config.define("TINYLM_CUDA", "OFF");
        }
    }
    let installed = config.build();
    println!(
        "cargo:rustc-link-search=native={}",
        installed.join("lib").display()
    );
    println!("cargo:rustc-link-lib=static=tinylm_native");

    if let Some(home) = cuda {
        link_cuda(&home);
        copy_runtime_headers(&home);
    }
}

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn target_is_windows() -> bool {
    var("CARGO_CFG_TARGET_OS") == "windows"
}

fn nvcc(home: &Path) -> PathBuf {
    home.join("bin")
        .join(if cfg!(windows) { "nvcc.exe" } else { "nvcc" })
}

/// The CUDA toolkit: what the environment names, else the newest in the places
/// where its installers put it.
fn cuda_home() -> PathBuf {
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        if let Some(home) = env::var_os(name).filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            // A named toolkit that is not there is a mistake to report, not a
            // reason to take another one.
            assert!(
                nvcc(&home).is_file(),
                "{name} names {}, which holds no CUDA compiler at {}",
                home.display(),
                nvcc(&home).display()
            );
            return home;
        }
    }
    let places = if cfg!(windows) {
        windows_toolkits()
    } else {
        vec!["/usr/local/cuda".into(), "/opt/cuda".into()]
    };
    places
        .into_iter()
        .find(|home| nvcc(home).is_file())
        .expect("the feature `cuda` needs a CUDA toolkit: set CUDA_HOME to its directory")
}

/// Toolkits of CUDA 13, newest first.
fn windows_toolkits() -> Vec<PathBuf> {
    let base = Path::new(r"C:\Program Files\NVIDIA GPU Computing Toolkit\CUDA");
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let minor = name.to_str()?.strip_prefix("v13.")?.parse().ok()?;
            Some((minor, entry.path()))
        })
        .collect();
    found.sort_by_key(|(minor, _)| std::cmp::Reverse(*minor));
    found.into_iter().map(|(_, path)| path).collect()
}

/// What to compile for, in CMake's words: as asked for, else for the GPUs of
/// this machine, else for Hopper.
fn cuda_architectures() -> String {
    if let Ok(asked) = env::var("TINYLM_CUDA_ARCHITECTURES") {
        if !asked.is_empty() {
            return asked;
        }
    }
    let Ok(output) = Command::new("nvidia-smi")
        .args(["--query-gpu=compute_cap", "--format=csv,noheader"])
        .output()
    else {
        return "90a".into();
    };
    let mut found: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line.trim().replace('.', ""))
        .filter(|cap| output.status.success() && cap.parse::<u32>().is_ok())
        .map(|cap| if cap == "90" { "90a".into() } else { cap })
        .collect();
    found.sort();
    found.dedup();
    if found.is_empty() {
        return "90a".into();
    }
    found.join(";")
}

/// Everything of CUDA is linked as a shared library, and none of them is
/// libcuda: the program has to start on a machine without a driver. No run
/// path is set either: where the libraries lie is for the installation to say.
fn link_cuda(home: &Path) {
    let places: &[&str] = if target_is_windows() {
        &["lib/x64", "lib"]
    } else {
        &["lib64", "lib"]
    };
    let lib = places
        .iter()
        .map(|place| home.join(place))
        .find(|dir| dir.is_dir())
        .unwrap_or_else(|| panic!("no library directory in {}", home.display()));
    println!("cargo:rustc-link-search=native={}", lib.display());
    for name in ["cudart", "cublas", "nvrtc"] {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
}

/// Leaves the headers of run-time compilation at OUT_DIR/include/cccl, from
/// where a release packs them beside the program.
fn copy_runtime_headers(home: &Path) {
    let from = home.join("include/cccl");
    let to = Path::new(&var("OUT_DIR")).join("include/cccl");
    let copied = (|| {
        if to.exists() {
            fs::remove_dir_all(&to)?; // another toolkit's may have more files
        }
        for part in ["cuda", "nv"] {
            copy_tree(&from.join(part), &to.join(part))?;
        }
        io::Result::Ok(())
    })();
    if let Err(error) = copied {
        panic!("cannot copy the headers of {}: {error}", from.display());
    }
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // Through links, which some packagings of the toolkit use.
        if fs::metadata(entry.path())?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
