const MLX_EXPECTED_COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn main() {
    println!("cargo:rustc-env=COMMIT={MLX_EXPECTED_COMMIT}");
}
