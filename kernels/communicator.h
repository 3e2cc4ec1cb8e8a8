// The processes of one job, one rank each, that mpirun or srun has started together.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

namespace evenflow::kernels {

/// Every function that moves data is called by all ranks, in the same order. Defaults are those of a process alone.
class Communicator {
 public:
  Communicator() = default;
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  virtual int rank() const { return 0; }
  virtual int ranks() const { return 1; }
  virtual int rank_on_node() const { return 0; }
  virtual int ranks_on_node() const { return 1; }
  bool leads() const { return rank() == 0; }
  /// This rank's part of its node's cores: those that it may run on, each shared by the ranks that may. 0: all.
  virtual int cores() const { return 0; }

  /// The same bytes to all ranks.
  virtual void broadcast(void* /*data*/, int64_t /*bytes*/, int /*from*/ = 0) {}
  /// Rank r has written bytes [offsets[r], offsets[r + 1]) of `all`; afterwards every rank has all of it.
  virtual void gather(void* /*all*/, std::span<const int64_t> /*offsets*/) {}
  /// Of as many bytes from each rank: rank r's begin at r * bytes.
  void gather_rows(void* all, int64_t bytes) {
    std::vector<int64_t> offsets;
    for (int r = 0; r <= ranks(); ++r) {
      offsets.push_back(r * bytes);
    }
    gather(all, offsets);
  }
  /// Bytes [from_offsets[r], from_offsets[r + 1]) of `from` go to rank r; what comes from it lies at
  /// [to_offsets[r], to_offsets[r + 1]) of `to`.
  virtual void exchange(const void* from, std::span<const int64_t> from_offsets, void* to,
                        std::span<const int64_t> /*to_offsets*/) {
    std::memcpy(to, static_cast<const char*>(from) + from_offsets[0],
                static_cast<size_t>(from_offsets[1] - from_offsets[0]));
  }
  /// True if it is true on any rank.
  virtual bool any(bool mine) { return mine; }
  /// Ends all ranks with this exit code, whatever they wait for.
  virtual void abort(int /*code*/) {}
};

/// A process by itself.
Communicator& alone();

/// What the environment says of the processes that were started together with this one.
struct Started {
  int together = 1, number = 0;
  bool by_mpi = false;  ///< by something that MPI can talk to
};
Started started();

/// Joins those processes; a process alone stays alone, and no MPI is loaded. Once in a process. MPI is a library of its
/// own, loaded here; DeviceError says why it cannot be used: not built, not installed, processes that it does not know
/// of each other.
std::unique_ptr<Communicator> join_ranks();

/// What the library exports: extern "C" Communicator* evenflow_join_mpi(), to be deleted.
inline constexpr const char* mpi_library_name = "libevenflow_mpi.so";
inline constexpr const char* mpi_library_entry = "evenflow_join_mpi";

}  // namespace evenflow::kernels
