// The native side's whole interface: weights go into a Builder, a Builder
// becomes a Model on one device, a Model turns a token into logits.
// Every function reports failure by throwing std::exception.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tinylm {

// Sizes of a Llama-like model, named after the fields of config.json.
struct Shape {
  std::uint32_t vocab_size;
  std::uint32_t hidden_size;
  std::uint32_t layers;
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  std::uint32_t intermediate_size;
  std::uint32_t context;
  std::uint32_t group_size;
  float rope_theta;
  float rms_norm_eps;
  bool tied;  // the output projection is the embedding table
};

// Where a tensor belongs. Slots from Query on exist once in each layer.
enum class Slot : std::uint32_t {
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
};

class Model {
 public:
  virtual ~Model() = default;

  // Runs one token at `position` and writes vocab_size logits. Positions up
  // to `position` must have been run before: the cache is filled in order,
  // and an earlier position discards what came after it.
  void forward(std::uint32_t token, std::uint32_t position, float* logits, std::size_t count);

  // "cpu: <processor>" or "cuda: <GPU>".
  virtual std::string device() const = 0;

 protected:
  explicit Model(const Shape& shape) : shape_(shape) {}
  virtual void run(std::uint32_t token, std::uint32_t position, float* logits) = 0;

  const Shape shape_;

 private:
  std::uint32_t filled_ = 0;
};

struct Weights;

class Builder {
 public:
  explicit Builder(const Shape& shape);
  ~Builder();

  // A matrix of 4-bit values, eight to a word, lowest bits first. Scales and
  // biases are IEEE half floats, one per group: value = scale * bits + bias.
  void set_matrix(Slot slot, std::uint32_t layer,
                  const std::uint32_t* packed, std::size_t packed_count,
                  const std::uint16_t* scales, std::size_t scales_count,
                  const std::uint16_t* biases, std::size_t biases_count);
  void set_norm(Slot slot, std::uint32_t layer, const float* values, std::size_t count);

  // Either consumes the builder; every slot must have been set.
  std::unique_ptr<Model> cpu();
  std::unique_ptr<Model> cuda(const std::string& program_dir);

 private:
  std::unique_ptr<Weights> finish();

  std::unique_ptr<Weights> weights_;
};

// The processor's name as it reports itself.
std::string cpu_name();

// Whether this build has the CUDA back end. Without it, the functions below
// throw.
bool cuda_compiled();

// Name of the GPU that Builder::cuda would use, after checking that it can
// run this build's kernels; throws with the CUDA runtime's reason.
std::string cuda_device_name();

// "13.0", from the loaded NVRTC library.
std::string nvrtc_version();

// The directory whose cuda/std headers the run-time compiler is given.
// `program_dir` is the directory of the running program.
std::string nvrtc_header_dir(const std::string& program_dir);

// Compiles the run-time kernel for `arch` ("sm_90a"), which needs no GPU, and
// gives the size of the machine code.
std::size_t nvrtc_compile(const std::string& header_dir, const std::string& arch);

// "13.0.2", from the loaded cuBLAS library.
std::string cublas_version();

}  // namespace tinylm
