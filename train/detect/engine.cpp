#include "train/detect/engine.h"

#include "io/error.h"
#include "train/detect/batch_engine.h"
#include "train/detect/workers.h"

namespace evenflow::train {

void require_bands(const io::NormaliserData& normaliser, const flow::Model& model) {
  const auto bands = static_cast<size_t>(model.height());
  if (normaliser.mean.size() == bands && normaliser.std.size() == bands) {
    return;
  }
  throw io::DataError("the normaliser has " + std::to_string(normaliser.mean.size()) + " bands, the model " +
                      std::to_string(bands) + "; the parts of the model file do not fit together, train it again");
}

std::unique_ptr<Engine> make_engine(const flow::Model& model, const io::NormaliserData& normaliser,
                                    const EngineSettings& settings) {
  if (model.device().type == kernels::DeviceType::cpu) {
    return std::make_unique<Workers>(model, normaliser, settings.threads, settings.training, *settings.ranks);
  }
  return std::make_unique<BatchEngine>(model, normaliser, settings.batch, settings.training, *settings.ranks);
}

}  // namespace evenflow::train
