//! Arguments of the programs' link step, which Cargo takes from the build
//! script of the programs' own package alone.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DEP_TINYLM_NATIVE_DELAY_LOAD");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("windows") {
        return;
    }
    // The DLLs of CUDA are loaded when they are first used, so that the program
    // starts without them and its hook can say where they lie: see
    // native/src/cuda/libraries_windows.cpp.
    let delayed = env::var("DEP_TINYLM_NATIVE_DELAY_LOAD").unwrap_or_default();
    let delayed: Vec<&str> = delayed.split(';').filter(|name| !name.is_empty()).collect();
    if env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("msvc") {
        for name in &delayed {
            println!("cargo:rustc-link-arg-bins=/DELAYLOAD:{name}");
        }
        if !delayed.is_empty() {
            println!("cargo:rustc-link-arg-bins=delayimp.lib");
        }
        return;
    }
    // MinGW's own run-time libraries are on no user's machine.
    println!("cargo:rustc-link-arg-bins=-static");
    // Only lld makes a true delay-import directory for MinGW: the linker must be
    // clang with it.
    for name in &delayed {
        println!("cargo:rustc-link-arg-bins=-Wl,-Xlink=-delayload:{name}");
    }
    if !delayed.is_empty() {
        println!("cargo:rustc-link-arg-bins=-ldelayimp");
    }
}
