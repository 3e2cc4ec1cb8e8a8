// evenflow train SHARD RUN CONFIG on an emulated GPU, alone or under mpirun.
#include <cstdio>
#include <exception>

#include "experiments/ranks.h"
#include "io/config.h"
#include "kernels/backend.h"
#include "train/loop/trainer.h"

int main(int /*argc*/, char** argv) {
  using namespace evenflow;
  kernels::use_cuda_backend(&kernels::cuda_backend());
  try {
    train::TrainOptions options;
    options.ranks = &experiments::join_ranks();
    options.shards = {argv[1]};
    options.run = argv[2];
    options.config = io::read_config(argv[3]);
    train::train(options);
    experiments::leave_ranks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    experiments::end_ranks(1);
    return 1;
  }
  return 0;
}
