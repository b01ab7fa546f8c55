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
        "RELMAT_DELAY_LOAD",
        "TINYLM_CUDA_ARCHITECTURES",
        "TINYLM_CUDA_TARGET",
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
    if var("CARGO_CFG_TARGET_ENV") == "msvc" {
        // The run-time library that Rust links; objects must agree on it.
        let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        let static_crt = features.split(',').any(|feature| feature == "crt-static");
        config.define(
            "CMAKE_MSVC_RUNTIME_LIBRARY",
            if static_crt {
                "MultiThreaded"
            } else {
                "MultiThreadedDLL"
            },
        );
    }
    let cuda = env::var_os("CARGO_FEATURE_CUDA").is_some().then(Cuda::find);
    config.define("TINYLM_CUDA", if cuda.is_some() { "ON" } else { "OFF" });
    if let Some(cuda) = &cuda {
        cuda.configure(&mut config);
    }
    let installed = config.build();
    println!(
        "cargo:rustc-link-search=native={}",
        installed.join("lib").display()
    );
    println!("cargo:rustc-link-lib=static=tinylm_native");

    if let Some(cuda) = cuda {
        cuda.link();
        copy_runtime_headers(&cuda.target);
    }
}

/// The toolkits of a build with CUDA.
struct Cuda {
    /// Holds the compiler, which runs on this machine.
    home: PathBuf,
    /// Holds the headers and libraries of the target's platform: another one
    /// when the target is built on a machine of another kind.
    target: PathBuf,
    libraries: Vec<Library>,
}

impl Cuda {
    fn find() -> Cuda {
        let home = cuda_home();
        let target = match env::var_os("TINYLM_CUDA_TARGET").filter(|dir| !dir.is_empty()) {
            Some(dir) => PathBuf::from(dir),
            None => home.clone(),
        };
        let libraries = if target_is_windows() {
            windows_libraries(&target)
        } else {
            Vec::new()
        };
        Cuda {
            home,
            target,
            libraries,
        }
    }

    fn configure(&self, config: &mut cmake::Config) {
        if target_is_windows() {
            let table = Path::new(&var("OUT_DIR")).join("libraries.inc");
            write_if_new(&table, &library_table(&self.libraries));
            config.define("TINYLM_LIBRARIES", cmake_path(&table));
        }
        let architectures = cuda_architectures();
        if target_is_windows() && var("CARGO_CFG_TARGET_ENV") == "gnu" {
            // nvcc refuses MinGW's compiler.
            config
                .define("TINYLM_EMBED_KERNELS", "ON")
                .define("TINYLM_NVCC", cmake_path(&nvcc(&self.home)))
                .define("TINYLM_GENCODE", gencode(&architectures))
                .define(
                    "TINYLM_CUDA_INCLUDE",
                    cmake_path(&self.target.join("include")),
                );
        } else {
            config
                .define("CMAKE_CUDA_COMPILER", cmake_path(&nvcc(&self.home)))
                .define("CMAKE_CUDA_ARCHITECTURES", architectures);
        }
    }

    /// Everything of CUDA is linked as a shared library, and none of them is
    /// libcuda: the program has to start on a machine without a driver. No run
    /// path is set either: where the libraries lie is for the installation to
    /// say. On Windows they are loaded with delay, for which the link step of
    /// each program needs arguments; Cargo takes those of the program's own
    /// build script alone, which reads here what they are.
    fn link(&self) {
        let places: &[&str] = if target_is_windows() {
            &["lib/x64", "lib"]
        } else {
            &["lib64", "lib"]
        };
        let lib = places
            .iter()
            .map(|place| self.target.join(place))
            .find(|dir| dir.is_dir())
            .unwrap_or_else(|| panic!("no library directory in {}", self.target.display()));
        println!("cargo:rustc-link-search=native={}", lib.display());
        for name in LINKED {
            println!("cargo:rustc-link-lib=dylib={name}");
        }
        let delayed: Vec<&str> = self
            .libraries
            .iter()
            .map(|library| library.name.as_str())
            .filter(|name| LINKED.iter().any(|lib| is_dll_of(name, lib)))
            .collect();
        println!("cargo:delay_load={}", delayed.join(";"));
    }
}

/// What is linked, as the linker is told.
const LINKED: [&str; 3] = ["cudart", "cublas", "nvrtc"];

/// A DLL of CUDA, for the hook that finds it.
struct Library {
    name: String,
    /// Relative to the program's directory.
    directory: String,
}

/// The DLLs and where the package has them: as `relmat` says it, else those of
/// the toolkit, laid out as MLX's hook looks for them.
fn windows_libraries(toolkit: &Path) -> Vec<Library> {
    let laid_out: Vec<(String, String)> = match env::var("RELMAT_DELAY_LOAD") {
        Ok(list) if !list.is_empty() => list
            .split(';')
            .map(|entry| {
                let (name, directory) = entry
                    .split_once('=')
                    .unwrap_or_else(|| panic!("RELMAT_DELAY_LOAD: {entry:?} is not NAME=DIR"));
                (name.into(), directory.into())
            })
            .collect(),
        _ => dlls(toolkit)
            .into_iter()
            .map(|name| {
                let directory = match &name {
                    name if name.starts_with("cublas") => "../nvidia/cublas/bin",
                    name if name.starts_with("nvrtc") => "../nvidia/cuda_nvrtc/bin",
                    name if name.starts_with("cudnn") => "../nvidia/cudnn/bin",
                    _ => ".",
                };
                (name, directory.into())
            })
            .collect(),
    };
    let libraries: Vec<Library> = laid_out
        .into_iter()
        .map(|(name, directory)| Library { name, directory })
        .collect();
    for lib in LINKED {
        assert!(
            libraries
                .iter()
                .any(|library| is_dll_of(&library.name, lib)),
            "there is no DLL of {lib} in RELMAT_DELAY_LOAD or in {}",
            toolkit.display()
        );
    }
    libraries
}

/// Whether a DLL is the one that `lib` imports: cublas64_13.dll that of cublas.
fn is_dll_of(name: &str, lib: &str) -> bool {
    name.strip_prefix(lib)
        .is_some_and(|rest| rest.starts_with("64_") && !rest.contains(".alt."))
}

/// The DLLs of a toolkit: NVIDIA's installer of CUDA 13 has them in bin\x64, its
/// wheels in bin/x86_64.
fn dlls(toolkit: &Path) -> Vec<String> {
    let mut found: Vec<String> = ["bin/x64", "bin/x86_64", "bin"]
        .iter()
        .filter_map(|place| fs::read_dir(toolkit.join(place)).ok())
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".dll"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The hook's table, as C++.
fn library_table(libraries: &[Library]) -> String {
    libraries
        .iter()
        .map(|library| {
            format!(
                "{{\"{}\", L\"{}\"}},\n",
                library.name,
                library.directory.replace('/', "\\\\")
            )
        })
        .collect()
}

/// Keeps the time of a file that has the same bytes, so that nothing is
/// compiled anew for it.
fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// CMake takes forward slashes on every system, and a backslash in a
/// definition for an escape.
fn cmake_path(path: &Path) -> String {
    path.display().to_string().replace('\\', "/")
}

/// nvcc's options for what CMake calls CUDA_ARCHITECTURES, as a list of CMake's.
fn gencode(architectures: &str) -> String {
    architectures
        .split(';')
        .map(|word| {
            let (arch, kind) = match word.split_once('-') {
                Some((arch, kind)) => (arch, kind),
                None => (word, ""),
            };
            let code = match kind {
                "real" => format!("sm_{arch}"),
                "virtual" => format!("compute_{arch}"),
                "" => format!("[sm_{arch},compute_{arch}]"),
                _ => panic!("TINYLM_CUDA_ARCHITECTURES: {word:?} has no number"),
            };
            assert!(
                arch.starts_with(|c: char| c.is_ascii_digit()),
                "TINYLM_CUDA_ARCHITECTURES: {word:?} is no architecture with a number, which a build for MinGW needs"
            );
            format!("-gencode=arch=compute_{arch},code={code}")
        })
        .collect::<Vec<_>>()
        .join(";")
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
