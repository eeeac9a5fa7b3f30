#include "transfer/ranges.h"

#include <cstdint>
#include <limits>
#include <map>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "proto/transfer.pb.h"

namespace ckpt::transfer {
namespace {

using Ranges = std::map<uint64_t, uint64_t>;

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

RangeSet SetOf(const Ranges& ranges) {
  RangeSet set;
  for (const auto& [begin, end] : ranges) set.Add(begin, end);
  return set;
}

FileRangesField FieldOf(const v1::FileRanges& ranges) {
  FileRangesField field;
  *field.Add() = ranges;
  return field;
}

TEST(RangeSetTest, RangesApartStayApart) {
  const RangeSet set = SetOf({{10, 20}, {30, 40}});
  EXPECT_EQ(set.ranges(), (Ranges{{10, 20}, {30, 40}}));
  EXPECT_EQ(set.total(), 20);
}

TEST(RangeSetTest, RangesThatTouchOrOverlapBecomeOne) {
  RangeSet set = SetOf({{10, 20}, {30, 40}});
  set.Add(20, 25);
  EXPECT_EQ(set.ranges(), (Ranges{{10, 25}, {30, 40}}));
  set.Add(28, 30);
  EXPECT_EQ(set.ranges(), (Ranges{{10, 25}, {28, 40}}));
  set.Add(24, 29);
  EXPECT_EQ(set.ranges(), (Ranges{{10, 40}}));
  EXPECT_EQ(set.total(), 30);
}

TEST(RangeSetTest, RangeOverSeveralSwallowsThem) {
  RangeSet set = SetOf({{10, 20}, {30, 40}, {50, 60}});
  set.Add(5, 55);
  EXPECT_EQ(set.ranges(), (Ranges{{5, 60}}));
  EXPECT_EQ(set.total(), 55);
}

TEST(RangeSetTest, WhatIsThereAlreadyChangesNothing) {
  RangeSet set = SetOf({{10, 40}});
  set.Add(10, 40);
  set.Add(15, 20);
  EXPECT_EQ(set.ranges(), (Ranges{{10, 40}}));
  EXPECT_EQ(set.total(), 30);
}

TEST(RangeSetTest, EmptyRangesAreNone) {
  RangeSet set;
  set.Add(10, 10);
  set.Add(20, 10);
  EXPECT_TRUE(set.ranges().empty());
  EXPECT_EQ(set.total(), 0);
}

TEST(RangeSetTest, NextGapIsBetweenTheRanges) {
  const RangeSet set = SetOf({{10, 20}, {30, 40}});
  const auto expect_gap = [&](uint64_t at, uint64_t begin, uint64_t end) {
    const RangeSet::Gap gap = set.NextGap(at);
    EXPECT_EQ(gap.begin, begin) << at;
    EXPECT_EQ(gap.end, end) << at;
  };
  expect_gap(0, 0, 10);
  expect_gap(9, 9, 10);
  expect_gap(10, 20, 30);
  expect_gap(19, 20, 30);
  expect_gap(20, 20, 30);
  expect_gap(25, 25, 30);
  expect_gap(35, 40, kNone);
  expect_gap(100, 100, kNone);
}

TEST(FileRangeSetsTest, AsMessageAndBackTheyAreTheSame) {
  FileRangeSets sets;
  sets["pages-1.img"] = SetOf({{0, 20}, {30, 40}});
  sets["pages-2.img"] = SetOf({{5, 6}});
  FileRangesField field;
  ToProto(sets, &field);
  const auto back = FromProto(field);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), 2);
  for (const auto& [name, set] : sets) {
    ASSERT_EQ(back->count(name), 1) << name;
    EXPECT_EQ(back->at(name).ranges(), set.ranges()) << name;
    EXPECT_EQ(back->at(name).total(), set.total()) << name;
  }
}

TEST(FileRangeSetsTest, BoundsThatDoNotAscendInPairsAreRefused) {
  v1::FileRanges odd;
  odd.add_bounds(1);
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(FieldOf(odd)).status()));
  v1::FileRanges descending;
  descending.add_bounds(2);
  descending.add_bounds(1);
  EXPECT_TRUE(absl::IsInvalidArgument(FromProto(FieldOf(descending)).status()));
}

}  // namespace
}  // namespace ckpt::transfer
