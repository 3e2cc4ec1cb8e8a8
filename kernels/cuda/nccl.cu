// NCCL, loaded when ranks join their GPUs: the program runs, on one GPU, where there is none.
#include "kernels/cuda/nccl.h"

#include <memory>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/launch_gpu.h"

#ifdef EVENFLOW_NCCL
#include <dlfcn.h>
#include <nccl.h>
#endif

namespace evenflow::kernels::cuda {

#ifdef EVENFLOW_NCCL
namespace {

template <class F>
void find(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  if (function == nullptr) {
    throw DeviceError(std::string("libnccl.so.2 lacks ") + name + "; install the NCCL of your CUDA toolkit");
  }
}

struct Nccl {
  Nccl() {
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      throw DeviceError(std::string("GPUs of several processes need NCCL (") + dlerror() +
                        "); install libnccl2, or train in one process");
    }
    find(library, "ncclGetUniqueId", get_unique_id);
    find(library, "ncclCommInitRank", comm_init_rank);
    find(library, "ncclCommDestroy", comm_destroy);
    find(library, "ncclGroupStart", group_start);
    find(library, "ncclGroupEnd", group_end);
    find(library, "ncclAllGather", all_gather);
    find(library, "ncclGetErrorString", error_string);
  }
  void check(ncclResult_t result, const char* what) const {
    if (result != ncclSuccess) {
      throw DeviceError(std::string("NCCL failed in ") + what + ": " + error_string(result) +
                        "; NCCL_DEBUG=INFO makes it say more");
    }
  }

  decltype(ncclGetUniqueId)* get_unique_id = nullptr;
  decltype(ncclCommInitRank)* comm_init_rank = nullptr;
  decltype(ncclCommDestroy)* comm_destroy = nullptr;
  decltype(ncclGroupStart)* group_start = nullptr;
  decltype(ncclGroupEnd)* group_end = nullptr;
  decltype(ncclAllGather)* all_gather = nullptr;
  decltype(ncclGetErrorString)* error_string = nullptr;
};

const Nccl& nccl() {
  static const Nccl loaded;
  return loaded;
}

struct Joined {
  ncclComm_t comm = nullptr;
  int rank = 0;
};

}  // namespace

void* join_nccl(Communicator& ranks) {
  ncclUniqueId id{};
  if (ranks.leads()) {
    nccl().check(nccl().get_unique_id(&id), "naming the job");
  }
  ranks.broadcast(&id, sizeof id);
  auto joined = std::make_unique<Joined>();
  joined->rank = ranks.rank();
  nccl().check(nccl().comm_init_rank(&joined->comm, ranks.ranks(), id, ranks.rank()), "joining the ranks");
  return joined.release();
}

void leave_nccl(void* joined) noexcept {
  const std::unique_ptr<Joined> owner(static_cast<Joined*>(joined));
  nccl().comm_destroy(owner->comm);
}

void gather_by_nccl(Stream& stream, void* joined, std::span<const RankRows> rows) {
  const Joined& ranks = *static_cast<Joined*>(joined);
  nccl().check(nccl().group_start(), "beginning a gather");
  for (const RankRows& part : rows) {
    const char* mine = static_cast<char*>(part.all) + ranks.rank * part.bytes;
    nccl().check(
        nccl().all_gather(mine, part.all, static_cast<size_t>(part.bytes), ncclChar, ranks.comm, queue_of(stream)),
        "gathering rows");
  }
  nccl().check(nccl().group_end(), "ending a gather");
}

#else

void* join_nccl(Communicator&) {
  throw DeviceError(
      "this evenflow was built without NCCL, which GPUs of several processes need; install libnccl-dev and build "
      "again, or train in one process");
}
void leave_nccl(void*) noexcept {}
void gather_by_nccl(Stream&, void*, std::span<const RankRows>) {}

#endif

}  // namespace evenflow::kernels::cuda
