#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <set>
#include <sstream>

#include "experiments/sweep/runner.h"
#include "io/atomic_file.h"
#include "io/error.h"

namespace evenflow::experiments {
namespace {

namespace fs = std::filesystem;

/// When a process began, in ticks since the machine's start, which tells it from a later one of its number. Empty:
/// there is none.
std::string start_of(pid_t process) {
  const std::string stat = io::read_beginning(fmt::format("/proc/{}/stat", process));
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) {
    return "";
  }
  constexpr int behind_name = 20;  // proc(5): starttime is field 22, the name field 2
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < behind_name; ++i) {
    fields >> field;
  }
  return field;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

/// "HOST PID START".
struct Place {
  explicit Place(const std::string& text) { std::istringstream(text) >> host >> process >> start; }
  std::string host, start;
  pid_t process = -1;
};

class LocalRunner : public Runner {
 public:
  explicit LocalRunner(const fs::path& folder) : script_((folder / "trial.sh").string()) {
    // wait() takes the signal; nothing else needs it.
    sigset_t child = {};
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &child, &before_);
  }
  ~LocalRunner() override { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  void start(std::span<const JobPack> packs, const Note& note) override {
    std::array<int, 2> go = {-1, -1};
    if (::pipe2(go.data(), O_CLOEXEC) != 0) {
      throw io::DataError(fmt::format("cannot start a training: {}; lower --jobs", std::strerror(errno)));
    }
    const Descriptor wait_end{go[0]}, go_end{go[1]};
    std::vector<std::string> where;
    where.reserve(packs.size());
    for (const JobPack& pack : packs) {
      const pid_t child = fork_for(pack, wait_end.value, go_end.value);
      children_.insert(child);
      where.push_back(fmt::format("{} {} {}", host_, child, start_of(child)));
    }
    note(where);
    const std::string bytes(packs.size(), 'g');
    if (::write(go_end.value, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      throw io::DataError(fmt::format("cannot start a training: {}; lower --jobs", std::strerror(errno)));
    }
  }

  std::vector<bool> alive(std::span<const std::string> where) override {
    reap();
    std::vector<bool> alive;
    for (const std::string& text : where) {
      const Place place(text);
      // One of another machine, whose leader has gone, went with it or has lost it: its lock on the run keeps a second
      // training out as long as it lives.
      alive.push_back(place.host == host_ &&
                      (children_.contains(place.process) ||
                       (place.process > 0 && start_of(place.process) == place.start && !place.start.empty())));
    }
    return alive;
  }

  void stop(std::span<const std::string> where) override {
    for (const std::string& text : where) {
      const Place place(text);
      if (place.host == host_ && place.process > 0 && start_of(place.process) == place.start) {
        ::kill(place.process, SIGTERM);
      }
    }
  }

  void wait() override {
    sigset_t child = {};
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    const timespec longest = {0, 200'000'000};
    ::sigtimedwait(&child, nullptr, &longest);
  }

 private:
  struct Descriptor {
    int value;
    explicit Descriptor(int descriptor) : value(descriptor) {}
    ~Descriptor() { ::close(value); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
  };

  /// A child that runs the jobs once it reads a byte from `wait_end`, and nothing if it reads the pipe's end.
  pid_t fork_for(const JobPack& pack, int wait_end, int go_end) const {
    std::vector<std::string> words = words_of(pack);
    words.insert(words.begin(), {"/bin/sh", script_});
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) {
      throw io::DataError(fmt::format("cannot start a training: {}; lower --jobs", std::strerror(errno)));
    }
    if (child > 0) {
      return child;
    }
    // Ctrl-C on the terminal is for the sweep, which tells its trainings.
    ::setpgid(0, 0);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      std::signal(signal, SIG_DFL);
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    ::close(go_end);
    char go = 0;
    if (::getppid() != parent || ::read(wait_end, &go, 1) != 1) {
      ::_exit(1);
    }
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      ::dup2(nowhere, standard);
    }
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }

  void reap() {
    for (auto child = children_.begin(); child != children_.end();) {
      child = ::waitpid(*child, nullptr, WNOHANG) != 0 ? children_.erase(child) : std::next(child);
    }
  }

  std::string script_;
  std::string host_ = host_name();
  std::set<pid_t> children_;
  sigset_t before_ = {};
};

}  // namespace

std::unique_ptr<Runner> make_local_runner(const fs::path& folder) {
  return std::make_unique<LocalRunner>(folder);
}

}  // namespace evenflow::experiments
