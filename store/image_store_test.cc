#include "store/image_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "store/test_support.h"

namespace ckpt {
namespace {

using Strings = std::vector<std::string>;

class ImageStoreTest : public testing::Test {
 protected:
  void MakeImage(const std::string& name, int64_t created = 0) {
    auto pending = store_.Begin(name);
    ASSERT_TRUE(pending.ok()) << pending.status();
    WriteFile((*pending)->dir_fd(), "pages-1.img", "pages");
    v1::Manifest about;
    about.set_created_unix_ns(created);
    ASSERT_TRUE((*pending)->Seal(about).ok());
    ASSERT_TRUE(std::move(**pending).Publish().ok());
  }

  const TempDirectory dir_;
  const ImageStore store_{dir_.path()};
};

TEST_F(ImageStoreTest, NamesLiveInTheStoreAndPathsAreTakenAsTheyAre) {
  EXPECT_EQ(*store_.PathOf("job7"), dir_.Path("job7"));
  EXPECT_EQ(*store_.PathOf("A.b_c-9"), dir_.Path("A.b_c-9"));
  EXPECT_EQ(*store_.PathOf("./job7"), "./job7");
  EXPECT_EQ(*store_.PathOf("/a b/c d"), "/a b/c d");
  EXPECT_EQ(*store_.PathOf("/a/b//"), "/a/b");
  EXPECT_EQ(*store_.PathOf("/b"), "/b");
}

TEST_F(ImageStoreTest, BadNamesAreRefusedByName) {
  for (const std::string name :
       {"", ".", "..", ".hidden", "a b", "a\nb", "ä", "a:b", "~"}) {
    const auto path = store_.PathOf(name);
    EXPECT_EQ(path.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_TRUE(absl::StrContains(path.status().message(),
                                  absl::StrCat("'", name, "'")));
  }
  EXPECT_EQ(store_.PathOf(std::string(201, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(store_.PathOf(std::string(200, 'x')).ok());
}

TEST_F(ImageStoreTest, PathsThatNameNoEntryAreRefused) {
  for (const std::string path :
       {"/", "//", "./", "../", "/a/.", "/a/..", "/a/.ckpt-pending-b-123456",
        "/a/.ckpt-removed-b-123456"}) {
    EXPECT_EQ(store_.PathOf(path).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
    EXPECT_FALSE(store_.Begin(path).ok()) << path;
    EXPECT_FALSE(store_.Open(path).ok()) << path;
    EXPECT_FALSE(store_.Remove(path).ok()) << path;
  }
}

TEST_F(ImageStoreTest, BeginMakesTheStoreForRootAlone) {
  const ImageStore store(dir_.Path("new"));
  const auto pending = store.Begin("job");
  ASSERT_TRUE(pending.ok()) << pending.status();
  struct stat about {};
  ASSERT_EQ(::stat(dir_.Path("new").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 07777, 0700U);
}

TEST_F(ImageStoreTest, LongestNameMakesAnImage) {
  const std::string longest(200, 'x');
  MakeImage(longest);
  EXPECT_EQ(dir_.Names(), Strings{longest});
  EXPECT_TRUE(store_.Remove(longest).ok());
}

TEST_F(ImageStoreTest, BeginAtAPathNeedsItsParent) {
  EXPECT_TRUE(store_.Begin(dir_.Path("job")).ok());
  EXPECT_EQ(store_.Begin(dir_.Path("none/job")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  WriteFile(dir_.fd(), "file", "");
  EXPECT_EQ(store_.Begin(dir_.Path("file/job")).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ImageStore(dir_.Path("a/b")).Begin("job").status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(ImageStoreTest, BeginWhereNothingCanBeMadeIsDenied) {
  EXPECT_EQ(store_.Begin("/sys/job").status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(ImageStoreTest, BeginRefusesANameThatIsTaken) {
  MakeImage("job");
  WriteFile(dir_.fd(), "file", "");
  ASSERT_EQ(::symlink("nowhere", dir_.Path("link").c_str()), 0);
  for (const std::string name : {"job", "file", "link"}) {
    EXPECT_EQ(store_.Begin(name).status().code(),
              absl::StatusCode::kAlreadyExists)
        << name;
  }
}

TEST_F(ImageStoreTest, BeginCollectsWhatADeadWriterLeft) {
  const std::string stale = ".ckpt-pending-job-00000a";
  ASSERT_EQ(::mkdir(dir_.Path(stale).c_str(), 0700), 0);
  WriteFile(dir_.fd(), stale + "/pages-1.img", "x");
  const auto pending = store_.Begin("other");
  ASSERT_TRUE(pending.ok()) << pending.status();
  EXPECT_EQ(dir_.Names().size(), 1U);
}

TEST_F(ImageStoreTest, BeginLeavesWhatALivingWriterHolds) {
  const auto first = store_.Begin("job");
  const auto second = store_.Begin("job");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(dir_.Names().size(), 2U);
}

TEST_F(ImageStoreTest, ListIsOldestFirst) {
  MakeImage("young", 300);
  MakeImage("old", 100);
  MakeImage("middle", 200);
  const auto images = store_.List();
  ASSERT_TRUE(images.ok()) << images.status();
  ASSERT_EQ(images->size(), 3U);
  EXPECT_EQ((*images)[0].name, "old");
  EXPECT_EQ((*images)[1].name, "middle");
  EXPECT_EQ((*images)[2].name, "young");
  EXPECT_EQ((*images)[0].path, dir_.Path("old"));
  EXPECT_EQ((*images)[0].manifest.created_unix_ns(), 100);
  EXPECT_TRUE((*images)[0].status.ok());
}

TEST_F(ImageStoreTest, ListShowsDamagedImagesWithTheReason) {
  MakeImage("damaged", 100);
  MakeImage("whole", 200);
  WriteFile(dir_.fd(), "damaged/ckpt-manifest.pb", "nonsense");
  ASSERT_EQ(::mkdir(dir_.Path("no-manifest").c_str(), 0700), 0);
  const auto images = store_.List();
  ASSERT_TRUE(images.ok()) << images.status();
  ASSERT_EQ(images->size(), 3U);
  EXPECT_EQ((*images)[0].name, "whole");
  EXPECT_EQ((*images)[1].name, "damaged");
  EXPECT_EQ((*images)[1].status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*images)[2].name, "no-manifest");
  EXPECT_EQ((*images)[2].status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ImageStoreTest, ListLeavesOutWhatCannotBeAnImage) {
  const auto pending = store_.Begin("job");
  WriteFile(dir_.fd(), "file", "");
  ASSERT_EQ(::mkdir(dir_.Path("lost+found").c_str(), 0700), 0);
  EXPECT_TRUE(store_.List()->empty());
}

TEST_F(ImageStoreTest, StoreThatWasNeverUsedIsEmpty) {
  EXPECT_TRUE(ImageStore(dir_.Path("none")).List()->empty());
}

TEST_F(ImageStoreTest, RemoveTakesTheImageAndNothingElse) {
  MakeImage("job");
  MakeImage("other");
  EXPECT_TRUE(store_.Remove("job").ok());
  EXPECT_EQ(dir_.Names(), Strings{"other"});
  EXPECT_TRUE(store_.Remove(dir_.Path("other/")).ok());
  EXPECT_EQ(dir_.Names(), Strings());
}

TEST_F(ImageStoreTest, RemoveOfNothingIsNotFound) {
  EXPECT_EQ(store_.Remove("job").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ImageStore(dir_.Path("none")).Remove("job").code(),
            absl::StatusCode::kNotFound);
}

TEST_F(ImageStoreTest, RemoveRefusesWhatIsNoImage) {
  ASSERT_EQ(::mkdir(dir_.Path("precious").c_str(), 0700), 0);
  WriteFile(dir_.fd(), "precious/thesis", "x");
  WriteFile(dir_.fd(), "file", "x");
  EXPECT_EQ(store_.Remove("precious").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Remove("file").code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadBack(dir_.fd(), "precious/thesis"), "x");
}

TEST_F(ImageStoreTest, RemoveTakesADamagedImage) {
  MakeImage("job");
  WriteFile(dir_.fd(), "job/ckpt-manifest.pb", "nonsense");
  EXPECT_TRUE(store_.Remove("job").ok());
  EXPECT_EQ(dir_.Names(), Strings());
}

TEST_F(ImageStoreTest, SpaceThatIsNotThereIsNamed) {
  EXPECT_TRUE(CheckSpace(dir_.fd(), 1).ok());
  const absl::Status status = CheckSpace(dir_.fd(), uint64_t{1} << 60);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(
      status.message(),
      absl::StrCat(dir_.path(),
                   ": not enough space: 1099511627776.0 MiB needed, ")));
}

TEST_F(ImageStoreTest, PinnedImageIsListedAndNotRemovedUntilUnpinned) {
  MakeImage("kept");
  MakeImage("other");
  EXPECT_TRUE(*store_.Pin("kept"));

  const auto removed = store_.Remove("kept");

  EXPECT_EQ(removed.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(removed.message(), "ckpt unpin kept"))
      << removed;
  const auto images = store_.List();
  ASSERT_TRUE(images.ok()) << images.status();
  for (const ImageSummary& image : *images) {
    EXPECT_EQ(image.pinned, image.name == "kept") << image.name;
  }
  EXPECT_TRUE(*store_.Unpin("kept"));
  EXPECT_EQ(store_.Remove("kept"), absl::OkStatus());
}

TEST_F(ImageStoreTest, PinOrUnpinTwiceIsNoChange) {
  MakeImage("job");
  EXPECT_FALSE(*store_.Unpin("job"));
  EXPECT_TRUE(*store_.Pin("job"));
  EXPECT_FALSE(*store_.Pin("job"));
  EXPECT_TRUE(*store_.Unpin("job"));
  EXPECT_FALSE(*store_.Unpin("job"));
}

TEST_F(ImageStoreTest, ImageThatIsReadCanBePinned) {
  MakeImage("job");
  const auto reader = store_.Open("job");
  EXPECT_TRUE(*store_.Pin("job"));
}

TEST_F(ImageStoreTest, DamagedImageCanBePinned) {
  MakeImage("job");
  WriteFile(dir_.fd(), absl::StrCat("job/", "ckpt-manifest.pb"), "damaged");
  EXPECT_TRUE(*store_.Pin("job"));
  EXPECT_TRUE(store_.List()->front().pinned);
}

TEST_F(ImageStoreTest, OnlyImagesArePinned) {
  ASSERT_EQ(::mkdir(dir_.Path("directory").c_str(), 0700), 0);
  EXPECT_EQ(store_.Pin("nothing").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_.Pin("directory").status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_.Unpin("nothing").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ckpt
