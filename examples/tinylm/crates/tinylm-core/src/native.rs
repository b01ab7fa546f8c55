//! The bridge to the C++ side. `native/include/tinylm/model.h` says what each
//! of these does.

#[cxx::bridge(namespace = "tinylm::bridge")]
pub(crate) mod ffi {
    #[derive(Clone, Copy)]
    struct ModelShape {
        vocab_size: u32,
        hidden_size: u32,
        layers: u32,
        heads: u32,
        kv_heads: u32,
        head_dim: u32,
        intermediate_size: u32,
        context: u32,
        group_size: u32,
        rope_theta: f32,
        rms_norm_eps: f32,
        tied: bool,
    }

    #[namespace = "tinylm"]
    #[repr(u32)]
    #[derive(Debug)]
    enum Slot {
        Embedding,
        Head,
        FinalNorm,
        Query,
        Key,
        Value,
        Output,
        Gate,
        Up,
        Down,
        InputNorm,
        PostAttentionNorm,
    }

    unsafe extern "C++" {
        include!("tinylm-core/cxx/bridge.h");

        #[namespace = "tinylm"]
        type Slot;
        #[namespace = "tinylm"]
        type Builder;
        #[namespace = "tinylm"]
        type Model;

        fn builder(shape: &ModelShape) -> Result<UniquePtr<Builder>>;
        fn set_matrix(
            builder: Pin<&mut Builder>,
            slot: Slot,
            layer: u32,
            packed: &[u32],
            scales: &[u16],
            biases: &[u16],
        ) -> Result<()>;
        fn set_norm(
            builder: Pin<&mut Builder>,
            slot: Slot,
            layer: u32,
            values: &[f32],
        ) -> Result<()>;
        fn build_cpu(builder: Pin<&mut Builder>) -> Result<UniquePtr<Model>>;
        fn build_cuda(builder: Pin<&mut Builder>, program_dir: &str) -> Result<UniquePtr<Model>>;
        fn forward(
            model: Pin<&mut Model>,
            token: u32,
            position: u32,
            logits: &mut [f32],
        ) -> Result<()>;
        fn device(model: &Model) -> Result<String>;

        #[namespace = "tinylm"]
        fn cuda_compiled() -> bool;
        fn cuda_device_name() -> Result<String>;
        fn nvrtc_version() -> Result<String>;
        fn nvrtc_header_dir(program_dir: &str) -> Result<String>;
        fn nvrtc_compile(header_dir: &str, arch: &str) -> Result<usize>;
        fn cublas_version() -> Result<String>;
    }
}
