#include "kernels/communicator.h"

#include <dlfcn.h>

#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/check.h"
#include "kernels/library.h"

namespace evenflow::kernels {
namespace {

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) {
    return std::nullopt;
  }
  int value = 0;
  const std::string_view all(text);
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value);
  if (error != std::errc{} || end != all.data() + all.size()) {
    return std::nullopt;
  }
  return value;
}

int first_of(std::initializer_list<const char*> variables, int otherwise) {
  for (const char* variable : variables) {
    if (const std::optional<int> found = number_in(variable)) {
      return *found;
    }
  }
  return otherwise;
}

std::string together_text(const Started& job) {
  return std::to_string(job.together) + " processes were started together";
}

constexpr const char* separately =
    "for trainings of their own, start each by itself (srun --ntasks 1, or without mpirun)";

}  // namespace

Communicator& alone() {
  static Communicator alone;
  return alone;
}

// Of Open MPI's mpirun, of PMI (MPICH and its kind, srun --mpi=pmi2) and of srun, innermost first.
Started started() {
  const bool by_mpi = number_in("OMPI_COMM_WORLD_RANK") || number_in("PMIX_RANK") || number_in("PMI_RANK");
  return {.together = first_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}, 1),
          .number = first_of({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}, 0),
          .by_mpi = by_mpi};
}

std::unique_ptr<Communicator> join_ranks() {
  const Started job = started();
  if (job.together <= 1) {
    return std::make_unique<Communicator>();
  }
  if (!job.by_mpi) {
    throw DeviceError(together_text(job) +
                      " by srun, but not so that MPI could join them; use srun --mpi=pmix (srun --mpi=list shows what "
                      "this SLURM has) or mpirun; " +
                      separately);
  }
  const std::string name = mpi_library_name;
  // MPI's own parts look for its symbols among everybody's.
  void* library = dlopen(mpi_library_name, RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    const std::string why = dlerror();
    throw DeviceError(together_text(job) + ", and " +
                      (library_is_there(mpi_library_name)
                           ? name + " cannot be loaded (" + why + "): install MPI on this machine (openmpi-bin); "
                           : "this evenflow was built without MPI (" + name +
                                 " is missing): install libopenmpi-dev and build again; ") +
                      separately);
  }
  using Entry = Communicator* (*)();
  auto join = reinterpret_cast<Entry>(dlsym(library, mpi_library_entry));
  if (join == nullptr) {
    throw DeviceError(name + " is not this evenflow's; reinstall it");
  }
  std::unique_ptr<Communicator> ranks(join());
  if (ranks->ranks() != job.together) {
    throw DeviceError(together_text(job) + ", but MPI sees " + std::to_string(ranks->ranks()) +
                      "; use the mpirun of the MPI that evenflow was built with, or srun --mpi=pmix; " + separately);
  }
  return ranks;
}

}  // namespace evenflow::kernels
