// The parts of the monitor, each by itself.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "experiments/monitor/alarm.h"
#include "experiments/monitor/byte_feed.h"
#include "experiments/monitor/executor.h"
#include "experiments/monitor/folder_feed.h"
#include "experiments/monitor/metrics.h"
#include "experiments/monitor/sensor.h"
#include "experiments/monitor/state_file.h"
#include "io/error.h"
#include "io/sources_file.h"
#include "tests/experiments/program.h"
#include "tests/support/error_message.h"

namespace evenflow::experiments::monitor {
namespace {

using test::Folder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Seconds = std::chrono::duration<double>;

// ------------------------------------------------------------------------------------------------------------ alarms

/// What an alarm makes of clips of a second: "x" bad, "." good; "R" raised, "C" cleared, "-" nothing.
std::string changes(Alarm& alarm, const std::string& clips, double from_s = 1) {
  std::string out;
  for (size_t i = 0; i < clips.size(); ++i) {
    const Change change = alarm.take(clips[i] == 'x', from_s + static_cast<double>(i));
    out += change == Change::raised ? 'R' : change == Change::cleared ? 'C' : '-';
  }
  return out;
}

TEST(Alarm, IsRaisedByNOfMAndClearedByGoodOnesInARow) {
  Alarm alarm({.raise = 3, .of = 5, .clear = 2, .hold_off_s = 0});
  EXPECT_EQ(changes(alarm, "xx...xx.x.x.."), "--------R---C");
  EXPECT_EQ(alarm.memory().raised_times, 1);
}

TEST(Alarm, IsNotRaisedAgainWithinTheHoldOff) {
  Alarm alarm({.raise = 1, .of = 1, .clear = 1, .hold_off_s = 5});
  EXPECT_EQ(changes(alarm, "x.x.x.x.x"),
            "RC---"
            "-R"
            "C-");
}

TEST(Alarm, WhatWasReportedDoesNotCountTowardsTheNext) {
  Alarm alarm({.raise = 2, .of = 8, .clear = 1, .hold_off_s = 0});
  EXPECT_EQ(changes(alarm, "xx.x"), "-RC-");
}

TEST(Alarm, GoesOnFromWhatItRemembers) {
  const AlarmRule rule{.raise = 3, .of = 5, .clear = 2, .hold_off_s = 4};
  Alarm whole(rule), first(rule), second(rule);
  const std::string clips = "xx.x..xxx..xxx";
  const std::string expected = changes(whole, clips);
  const std::string before = changes(first, clips.substr(0, 7));
  second.remember(first.memory());
  EXPECT_EQ(before + changes(second, clips.substr(7), 8), expected);
}

// ------------------------------------------------------------------------------------------------------------ sensor

std::string fault_of(const std::vector<float>& values, float full_scale = 1.0f) {
  SoundCheck check(full_scale);
  check.add(values);
  return check.fault({});
}

TEST(SoundCheck, TellsWhatIsWrongWithSamples) {
  std::vector<float> sound(10000);
  for (size_t i = 0; i < sound.size(); ++i) {
    sound[i] = 0.5f * std::sin(0.1f * static_cast<float>(i));
  }
  EXPECT_EQ(fault_of(sound), "");
  EXPECT_EQ(fault_of(std::vector<float>(100, 0.0f)), "digital silence");
  EXPECT_THAT(fault_of(std::vector<float>(100, 0.25f)), HasSubstr("all samples are 0.25"));
  std::vector<float> clipped = sound;
  std::fill(clipped.begin(), clipped.begin() + 10, 1.0f);
  EXPECT_EQ(fault_of(clipped), "");  // a thousandth: no more than is allowed
  std::fill(clipped.begin(), clipped.begin() + 20, -1.0f);
  EXPECT_THAT(fault_of(clipped), HasSubstr("0.2 % of the samples are at full scale"));
  clipped = std::vector<float>(sound.size(), 1.0f);
  clipped[0] = -1.0f;
  EXPECT_EQ(fault_of(clipped), "100 % of the samples are at full scale");
  std::vector<float> broken = sound;
  broken[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(fault_of(broken), HasSubstr("1 samples are not finite"));
}

TEST(ArrivalClock, TellsAWrongRateAGapAndWhatIsMissing) {
  const ArrivalClock::Time start{};
  const auto at = [&](double s) {
    return start + std::chrono::duration_cast<ArrivalClock::Time::duration>(Seconds(s));
  };
  ArrivalClock clock(1000, {});
  std::string faults;
  for (int i = 0; i <= 200; ++i) {  // 20 s at the right rate, to a block
    faults += clock.arrived(100, at(0.1 * i));
  }
  EXPECT_EQ(faults, "");
  for (int i = 1; i <= 200; ++i) {  // 20 s at half the rate
    faults += clock.arrived(50, at(20 + 0.1 * i));
  }
  EXPECT_THAT(faults, HasSubstr("500 samples a second arrive, where 1000 are said"));
  EXPECT_NEAR(static_cast<double>(clock.missing()), 10000, 1);
  EXPECT_EQ(clock.gap(at(44)), "");
  EXPECT_THAT(clock.gap(at(46)), HasSubstr("no sound for 6 s"));
  EXPECT_EQ(clock.gap(at(47)), "");  // it was said
  EXPECT_EQ(clock.arrived(100, at(50)), "");
  EXPECT_FALSE(clock.in_gap());
  EXPECT_NEAR(static_cast<double>(clock.missing()), 20000, 1);
}

// ------------------------------------------------------------------------------------------------------------- feeds

TEST(ByteFeed, AFileThatIsFollowedGrowsIsReplacedAndComesBack) {
  const Folder folder;
  const std::string file = folder / "a.pcm";
  test::put(file, "one");
  ByteFeed feed(file, true);
  std::string bytes;
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "one");
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
  std::ofstream(file, std::ios::app) << "two";
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "two");
  std::filesystem::remove(file);
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::gone);
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
  test::put(file, "new");
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::anew);
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "new");
  test::put(file, "x");  // cut short
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::gone);
}

TEST(ByteFeed, GoesOnInTheSameFileAlone) {
  const Folder folder;
  const std::string file = folder / "a.pcm";
  test::put(file, "onetwo");
  std::string bytes;
  FilePlace place;
  {
    ByteFeed feed(file, false);
    place = feed.place();
  }
  place.position = 3;
  ByteFeed feed(file, false);
  ASSERT_TRUE(feed.resume(place));
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "two");
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::ended);
  place.position = 7;
  EXPECT_FALSE(ByteFeed(file, false).resume(place));
  EXPECT_THROW(ByteFeed(folder / "none", false), io::DataError);
}

TEST(ByteFeed, AFifoOutlivesItsWriters) {
  const Folder folder;
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ByteFeed feed(fifo, false);
  std::string bytes;
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
  std::ofstream(fifo) << "one";
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "one");
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::gone);
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
  std::ofstream(fifo) << "two";
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::anew);
  ASSERT_EQ(feed.read(bytes), ByteFeed::State::data);
  EXPECT_EQ(bytes, "two");
}

TEST(ByteFeed, ADeviceThatGivesNothingIsToldOfOnceAndNotPolled) {
  ByteFeed feed("/dev/null", true);
  std::string bytes;
  EXPECT_EQ(feed.read(bytes), ByteFeed::State::gone);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1200);  // it is opened again meanwhile
  while (std::chrono::steady_clock::now() < end) {
    EXPECT_EQ(feed.read(bytes), ByteFeed::State::waiting);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

std::vector<std::string> finished(FolderFeed& feed) {
  EXPECT_TRUE(feed.look());
  std::vector<std::string> names;
  while (const auto recording = feed.next()) {
    names.push_back(recording->filename().string());
    feed.hear();
  }
  return names;
}

TEST(FolderFeed, TellsOfARecordingOnceItIsFinished) {
  const Folder folder;
  test::put(folder / "old.wav", "a");
  FolderFeed feed(folder.path(), std::nullopt);
  EXPECT_THAT(finished(feed), ElementsAre());
  {
    std::ofstream growing(folder / "new.wav");
    growing << "a" << std::flush;
    EXPECT_THAT(finished(feed), ElementsAre());
    EXPECT_THAT(finished(feed), ElementsAre());
  }
  test::put(folder / "notes.txt", "a");
  test::put(folder / ".hidden.wav", "a");
  test::put(folder / "part", "a");
  std::filesystem::rename(folder / "part", folder / "moved.wav");
  EXPECT_THAT(finished(feed), ElementsAre("new.wav", "moved.wav"));
}

TEST(FolderFeed, FindsWhatCameWhileNobodyListened) {
  const Folder folder;
  test::put(folder / "a.wav", "a");
  const auto set_time = [&](const std::string& name, int hours_from_now) {
    const auto now = std::filesystem::file_time_type::clock::now();
    std::filesystem::last_write_time(folder / name, now + std::chrono::hours(hours_from_now));
  };
  RecordingMarks heard;
  {
    FolderFeed feed(folder.path(), RecordingMarks{});
    EXPECT_THAT(finished(feed), ElementsAre("a.wav"));
    heard = feed.heard();
  }
  constexpr int years = 24 * 365;
  test::put(folder / "copied with its old time.wav", "a");
  set_time("copied with its old time.wav", -20 * years);
  test::put(folder / "of a clock ahead.wav", "a");
  set_time("of a clock ahead.wav", 20 * years);
  test::put(folder / "b.wav", "a");
  test::put(folder / "a.wav", "b");  // in place, as long as before
  set_time("a.wav", -1);
  {
    FolderFeed feed(folder.path(), heard);
    EXPECT_THAT(finished(feed), ElementsAre("copied with its old time.wav", "a.wav", "b.wav", "of a clock ahead.wav"));
    heard = feed.heard();
  }
  FolderFeed feed(folder.path(), heard);
  EXPECT_THAT(finished(feed), ElementsAre());
}

TEST(FolderFeed, HearsARecordingThatIsWrittenAnewAgain) {
  const Folder folder;
  test::put(folder / "old.wav", "a");
  FolderFeed feed(folder.path(), std::nullopt);
  test::put(folder / "a.wav", "a");
  EXPECT_THAT(finished(feed), ElementsAre("a.wav"));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));  // a file's time moves by the kernel's tick
  test::put(folder / "a.wav", "b");
  std::ofstream(folder / "old.wav", std::ios::app) << "b";
  EXPECT_THAT(finished(feed), ElementsAre("a.wav", "old.wav"));
  EXPECT_THAT(finished(feed), ElementsAre());
}

TEST(FolderFeed, OfWhatIsGoneNothingIsKept) {
  const Folder folder;
  FolderFeed feed(folder.path(), std::nullopt);
  test::put(folder / "a.wav", "a");
  test::put(folder / "b.wav", "a");
  EXPECT_THAT(finished(feed), ElementsAre("a.wav", "b.wav"));
  EXPECT_EQ(feed.heard().size(), 2U);
  std::filesystem::remove(folder / "a.wav");
  std::filesystem::rename(folder / "b.wav", folder / "b.txt");
  EXPECT_THAT(finished(feed), ElementsAre());
  EXPECT_TRUE(feed.heard().empty());
}

TEST(FolderFeed, HearsLinksAndSaysThatSubfoldersAreNot) {
  const Folder folder, elsewhere;
  test::put(elsewhere / "a.wav", "a");
  FolderFeed feed(folder.path(), std::nullopt);
  EXPECT_EQ(feed.subfolder(), std::nullopt);
  std::filesystem::create_hard_link(elsewhere / "a.wav", folder / "hard.wav");
  std::filesystem::create_symlink(elsewhere / "a.wav", folder / "soft.wav");
  std::filesystem::create_symlink(elsewhere / "none.wav", folder / "dangling.wav");
  std::filesystem::create_directory(folder / "sub");
  std::filesystem::create_directory(folder / "sub two");
  EXPECT_THAT(finished(feed), ElementsAre());  // who made it may be about to open it
  EXPECT_THAT(finished(feed), ElementsAre("hard.wav", "soft.wav"));
  EXPECT_THAT(finished(feed), ElementsAre());
  EXPECT_EQ(feed.subfolder(), "sub");
  EXPECT_EQ(feed.subfolder(), std::nullopt);
  EXPECT_NE(FolderFeed(folder.path(), std::nullopt).subfolder(), std::nullopt);
}

TEST(FolderFeed, WaitsForAFolderThatHasGone) {
  const Folder folder;
  std::filesystem::create_directory(folder / "in");
  FolderFeed feed(folder / "in", std::nullopt);
  std::filesystem::remove(folder / "in");
  EXPECT_FALSE(feed.look());
  EXPECT_FALSE(feed.look_again());
  std::filesystem::create_directory(folder / "in");
  test::put(folder / "in/a.wav", "a");
  EXPECT_TRUE(feed.look_again());
  EXPECT_THAT(finished(feed), ElementsAre("a.wav"));
  EXPECT_THROW(FolderFeed(folder / "none", std::nullopt), io::DataError);
}

// -------------------------------------------------------------------------------------------------- commands, metrics

TEST(Executor, RunsCommandsInOrderWithTheirInputAndEnvironment) {
  const Folder folder;
  std::vector<std::string> complaints;
  {
    Executor executor(10, [&](const std::string& sentence) { complaints.push_back(sentence); });
    for (const char* const word : {"one", "two"}) {
      executor.give({"(echo $EVENFLOW_ALARM; cat) >> " + (folder / "out"), {{"EVENFLOW_ALARM", word}}, "text\n"});
    }
    executor.give({"exit 3", {}, ""});
  }
  EXPECT_EQ(test::get(folder / "out"), "one\ntext\ntwo\ntext\n");
  EXPECT_THAT(complaints, ElementsAre(HasSubstr("exit code 3")));
}

TEST(Executor, ACommandThatHangsIsEndedAndHoldsNobodyUp) {
  std::vector<std::string> complaints;
  const auto start = std::chrono::steady_clock::now();
  double given_s = 0;
  {
    Executor executor(0.2, [&](const std::string& sentence) { complaints.push_back(sentence); });
    executor.give({"sleep 60 & wait", {}, std::string(1 << 20, 'a')});
    given_s = Seconds(std::chrono::steady_clock::now() - start).count();
  }
  EXPECT_TRUE(given_s < 5.0) << given_s;
  EXPECT_TRUE(Seconds(std::chrono::steady_clock::now() - start).count() < 30.0);
  EXPECT_THAT(complaints, ElementsAre(HasSubstr("took longer than 0.2 s and was ended")));
}

MachineStatus status_of(const std::string& name) {
  MachineStatus status;
  status.name = name;
  status.counts.by_verdict[Verdict::fault] = 2;
  status.last.clip = 7;
  status.last.score = 1.5;
  status.last.p_value = std::numeric_limits<double>::quiet_NaN();
  status.last.estimates = {{"velocity_mm_s", 300.0}, {"tool", 1.0, "B"}};
  status.samples = 16000;
  for (const auto& alarm : io::choices<AlarmKind>) {
    status.alarms[alarm.value] = {};
  }
  status.alarms[AlarmKind::shift].raised = true;
  return status;
}

TEST(Metrics, AreInPrometheusTextFormat) {
  const std::string text = metrics_text({status_of("press \"1\"")});
  EXPECT_THAT(text, HasSubstr("# TYPE evenflow_samples_total counter\n"
                              "evenflow_samples_total{machine=\"press \\\"1\\\"\"} 16000\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_clips_total{machine=\"press \\\"1\\\"\",verdict=\"fault\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_alarm{machine=\"press \\\"1\\\"\",alarm=\"shift\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_score{machine=\"press \\\"1\\\"\"} 1.5\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_p_value{machine=\"press \\\"1\\\"\"} NaN\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_estimate{machine=\"press \\\"1\\\"\",parameter=\"velocity_mm_s\"} 300\n"));
  EXPECT_THAT(text, HasSubstr("evenflow_category{machine=\"press \\\"1\\\"\",parameter=\"tool\",category=\"B\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("evenflow_estimate{machine=\"press \\\"1\\\"\",parameter=\"tool\"")));
}

std::string ask(int port, const std::string& request) {
  const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(client, std::bit_cast<sockaddr*>(&address), sizeof address) == 0 &&
      ::send(client, request.data(), request.size(), MSG_NOSIGNAL) > 0) {
    std::array<char, 4096> buffer;
    for (ssize_t count = 0; (count = ::recv(client, buffer.data(), buffer.size(), 0)) > 0;) {
      answer.append(buffer.data(), static_cast<size_t>(count));
    }
  }
  ::close(client);
  return answer;
}

TEST(Metrics, AreServedOnLoopbackToOneAfterTheOther) {
  const MetricsServer server(0, [] { return std::string("a 1\n"); });
  EXPECT_THAT(ask(server.port(), "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
              HasSubstr("200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 4\r\n"));
  EXPECT_THAT(ask(server.port(), "GET / HTTP/1.1\r\n\r\n"), HasSubstr("404"));
  EXPECT_THAT(ask(server.port(), "GET /metrics HTTP/1.0\r\n\r\n"), ::testing::EndsWith("a 1\n"));
  EXPECT_THROW(MetricsServer(server.port(), [] { return std::string(); }), io::UsageError);
}

// ------------------------------------------------------------------------------------------------------ state, sources

TEST(MonitorState, IsReadAsItWasWritten) {
  const Folder folder;
  const std::string file = folder / "state.json";
  EXPECT_TRUE(read_state(file).empty());
  const Memories memories = {{"a", {{"lost", 3}}}, {"b", {{"lost", 0.1}}}};
  write_state(file, memories);
  EXPECT_TRUE(is_state(file));
  EXPECT_EQ(read_state(file), memories);
  const std::string text = test::get(file);
  for (size_t count = 1; count + 1 < text.size(); count += 7) {
    test::put(file, text.substr(0, count));
    EXPECT_THROW(read_state(file), io::DataError) << count;
  }
  EXPECT_THROW(describe_state(file), io::DataError);
  test::put(file, "{}");
  EXPECT_THROW(read_state(file), io::DataError);
  test::put(file, "");
  EXPECT_TRUE(read_state(file).empty());
  const auto of_version = [&](const std::string& version) {
    std::string other = text;
    return other.replace(other.find("\"version\":2"), 11, "\"version\":" + version);
  };
  test::put(file, of_version("1"));
  EXPECT_EQ(read_state(file), memories);
  test::put(file, of_version("3"));
  EXPECT_THAT(tests::message_of<io::DataError>([&] { read_state(file); }), HasSubstr("newer"));
}

std::string refused(const Folder& folder, const std::string& text) {
  test::put(folder / "m.toml", text);
  try {
    io::read_sources_file(folder / "m.toml");
  } catch (const io::UsageError& error) {
    return error.what();
  }
  return "[nothing]";
}

TEST(SourcesFile, NamesMachinesBesideItself) {
  const Folder folder;
  test::put(
      folder / "m.toml",
      "[[machine]]\nname = \"a\"\nmodel = \"a.h5\"\nsource = \"-\"\nformat = \"s16le\"\nrate = 8000\nchannels = 2\n"
      "live = true\nclip = 2.5\nexec = \"true\"\n"
      "[[machine]]\nname = \"b\"\nmodel = \"/b.h5\"\nsource = \"in\"\nfollow = true\n");
  const std::vector<io::MonitorSource> sources = io::read_sources_file(folder / "m.toml");
  ASSERT_EQ(sources.size(), 2u);
  const io::MonitorSource a = {.name = "a",
                               .model = folder / "a.h5",
                               .source = "-",
                               .format = "s16le",
                               .rate_hz = 8000,
                               .channels = 2,
                               .live = true,
                               .clip_s = 2.5,
                               .exec = "true"};
  EXPECT_EQ(sources[0], a);
  io::MonitorSource b;
  b.name = "b";
  b.model = "/b.h5";
  b.source = folder / "in";
  b.follow = true;
  EXPECT_EQ(sources[1], b);
}

TEST(SourcesFile, RefusesWhatIsWrongByItsLine) {
  const Folder folder;
  const std::string a = "[[machine]]\nname = \"a\"\nmodel = \"a.h5\"\nsource = \"-\"\n";
  EXPECT_THAT(refused(folder, ""), HasSubstr("[[machine]]"));
  EXPECT_THAT(refused(folder, a + "formt = \"s16le\"\n"),
              HasSubstr("m.toml:5: unknown key 'formt'; did you mean 'format'?"));
  EXPECT_THAT(refused(folder, a + "threshold = 5\n"),
              HasSubstr(":5: unknown key 'threshold'; a machine may have name, model, source, format, rate, channels, "
                        "follow, live, clip and exec, and all else are options of evenflow monitor"));
  EXPECT_THAT(refused(folder, "rate = 16000\n" + a), HasSubstr(":1: 'rate' stands outside of every machine; move it"));
  EXPECT_THAT(refused(folder, "treshold = 16000\n" + a), HasSubstr(":1: 'treshold' stands outside"));
  for (const std::string rate : {"-5", "5", "16000.5", "\"16000\"", "9223372036854775807"}) {
    EXPECT_THAT(refused(folder, a + "rate = " + rate + "\n"),
                HasSubstr(":5: rate = " + rate + " is not allowed: it must be a whole number from 1000 to 1000000"));
  }
  EXPECT_THAT(refused(folder, a + "clip = 0\n"),
              HasSubstr(":5: clip = 0 is not allowed: it must be a number from 0.01"));
  EXPECT_THAT(refused(folder, a + a), HasSubstr("two machines are called 'a'"));
  EXPECT_THAT(refused(folder, a + "[[machine]]\nname = \"b\"\nmodel = \"a\"\nsource = \"-\"\n"),
              HasSubstr("two machines read standard input"));
  EXPECT_THAT(refused(folder, "[[machine]]\nname = \"b\"\nsource = \"-\"\n"), HasSubstr("lacks its model"));
  EXPECT_THAT(refused(folder, "[[machine"), HasSubstr("not valid TOML"));
}

}  // namespace
}  // namespace evenflow::experiments::monitor
