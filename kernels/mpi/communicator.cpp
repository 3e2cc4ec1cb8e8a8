// kernels/communicator.h over MPI: a library of its own, so that the program runs where there is none.
#include "kernels/communicator.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <vector>

namespace evenflow::kernels {
namespace {

constexpr int64_t line_bytes = 64;

/// What MPI takes for offsets: counts and displacements, which are ints, so in lines where all are whole.
struct Parts {
  Parts(std::span<const int64_t> offsets, MPI_Datatype line) {
    const bool whole = std::all_of(offsets.begin(), offsets.end(), [](int64_t at) { return at % line_bytes == 0; });
    const int64_t unit = whole ? line_bytes : 1;
    type = whole ? line : MPI_BYTE;
    for (size_t r = 0; r + 1 < offsets.size(); ++r) {
      counts.push_back(static_cast<int>((offsets[r + 1] - offsets[r]) / unit));
      starts.push_back(static_cast<int>(offsets[r] / unit));
    }
  }
  MPI_Datatype type;
  std::vector<int> counts, starts;
};

/// Of the cores that this process may run on, each divided by the ranks of the node that may run on it.
int cores_of_rank(MPI_Comm node, int ranks) {
  std::vector<cpu_set_t> allowed(static_cast<size_t>(ranks));
  cpu_set_t mine;
  CPU_ZERO(&mine);
  sched_getaffinity(0, sizeof mine, &mine);
  MPI_Allgather(&mine, sizeof mine, MPI_BYTE, allowed.data(), sizeof mine, MPI_BYTE, node);
  double cores = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mine)) {
      cores += 1.0 / static_cast<double>(std::count_if(allowed.begin(), allowed.end(), [cpu](const cpu_set_t& set) {
                 return CPU_ISSET(cpu, &set) != 0;
               }));
    }
  }
  constexpr double rounding = 1e-6;
  return std::max(1, static_cast<int>(cores + rounding));
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator() {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks_);
    MPI_Comm node = MPI_COMM_NULL;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &rank_on_node_);
    MPI_Comm_size(node, &ranks_on_node_);
    cores_ = cores_of_rank(node, ranks_on_node_);
    MPI_Comm_free(&node);
    MPI_Type_contiguous(line_bytes, MPI_BYTE, &line_);
    MPI_Type_commit(&line_);
  }
  ~MpiCommunicator() override {
    MPI_Type_free(&line_);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }
  int rank_on_node() const override { return rank_on_node_; }
  int ranks_on_node() const override { return ranks_on_node_; }
  int cores() const override { return cores_; }

  void broadcast(void* data, int64_t bytes, int from) override {
    MPI_Bcast(data, static_cast<int>(bytes), MPI_BYTE, from, MPI_COMM_WORLD);
  }
  void gather(void* all, std::span<const int64_t> offsets) override {
    const Parts parts(offsets, line_);
    MPI_Allgatherv(MPI_IN_PLACE, 0, parts.type, all, parts.counts.data(), parts.starts.data(), parts.type,
                   MPI_COMM_WORLD);
  }
  void exchange(const void* from, std::span<const int64_t> from_offsets, void* to,
                std::span<const int64_t> to_offsets) override {
    const Parts out(from_offsets, line_), in(to_offsets, line_);
    MPI_Alltoallv(from, out.counts.data(), out.starts.data(), out.type, to, in.counts.data(), in.starts.data(), in.type,
                  MPI_COMM_WORLD);
  }
  bool any(bool mine) override {
    int found = mine ? 1 : 0;
    MPI_Allreduce(MPI_IN_PLACE, &found, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return found != 0;
  }
  void abort(int code) override { MPI_Abort(MPI_COMM_WORLD, code); }

 private:
  int rank_ = 0, ranks_ = 1, rank_on_node_ = 0, ranks_on_node_ = 1, cores_ = 1;
  MPI_Datatype line_ = MPI_DATATYPE_NULL;
};

}  // namespace
}  // namespace evenflow::kernels

extern "C" evenflow::kernels::Communicator* evenflow_join_mpi() {
  return new evenflow::kernels::MpiCommunicator;
}
