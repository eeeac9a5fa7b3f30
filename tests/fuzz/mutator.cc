#include "tests/fuzz/mutator.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "google/protobuf/any.pb.h"

namespace ckpt::fuzz {
namespace {

using google::protobuf::Any;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;

constexpr uint64_t kNumbers[] = {
    0,          1,          2,        3,         7,       100,       4095,
    4096,       4097,       8192,     524288,    1048576, 1048577,   3145729,
    0x7fffffff, 0x80000000, 1u << 24, 1ul << 44, ~0ul,    ~0ul >> 1, 1ul << 63};
constexpr double kDoubles[] = {0, 1, -1, 1e-9, 1e300, -1e300, 1e9};

const Message* TypeOf(const Any& any) {
  const std::string& url = any.type_url();
  const auto* type = DescriptorPool::generated_pool()->FindMessageTypeByName(
      url.substr(url.rfind('/') + 1));
  return type == nullptr
             ? nullptr
             : MessageFactory::generated_factory()->GetPrototype(type);
}

}  // namespace

uint64_t Mutator::Number(uint64_t now) {
  switch (Below(6)) {
    case 0:
      return now + 1;
    case 1:
      return now - 1;
    case 2:
      return now ^ (uint64_t{1} << Below(64));
    case 3:
      return random_();
    default:
      return kNumbers[Below(std::size(kNumbers))];
  }
}

std::string Mutator::Text(const std::string& now) {
  if (!target_.words.empty() && Below(2) == 0) {
    const std::string& word = target_.words[Below(target_.words.size())];
    return Below(8) == 0 ? absl::StrCat(now, word) : word;
  }
  std::string changed = now;
  on_bytes_(changed);
  return changed;
}

void Mutator::Collect(Message& message, std::vector<Message*>& all) {
  all.push_back(&message);
  if (message.GetDescriptor() == Any::descriptor()) return;
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* const field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      Collect(*reflection.MutableMessage(&message, field), all);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      Collect(*reflection.MutableRepeatedMessage(&message, field, i), all);
    }
  }
}

void Mutator::Mutate(Message& message) {
  for (uint64_t left = 1 + Below(3); left > 0; --left) {
    std::vector<Message*> all;
    Collect(message, all);
    Message& chosen = *all[Below(all.size())];
    if (chosen.GetDescriptor() == Any::descriptor()) {
      MutateAny(chosen);
      continue;
    }
    const int count = chosen.GetDescriptor()->field_count();
    if (count == 0) continue;
    MutateField(chosen,
                *chosen.GetDescriptor()->field(static_cast<int>(Below(count))));
  }
}

void Mutator::MutateAny(Message& message) {
  Any& any = static_cast<Any&>(message);
  const Message* const type = TypeOf(any);
  if (type == nullptr) return;
  const std::unique_ptr<Message> inner(type->New());
  (void)inner->ParseFromString(any.value());
  Mutate(*inner);
  (void)inner->SerializePartialToString(any.mutable_value());
}

void Mutator::Fill(Message& parent, Message& made) {
  if (made.GetDescriptor() != Any::descriptor()) return;
  const Message* const type =
      target_.type_of_any == nullptr ? nullptr : target_.type_of_any(parent);
  if (type == nullptr) return;
  Any& any = static_cast<Any&>(made);
  any.set_type_url(
      absl::StrCat("type.googleapis.com/", type->GetDescriptor()->full_name()));
  for (int i = 0; i < 3; ++i) MutateAny(any);
}

void Mutator::MutateField(Message& message, const Field& field) {
  const Reflection& reflection = *message.GetReflection();
  if (field.is_repeated()) {
    MutateRepeated(message, field);
  } else if (Below(8) == 0) {
    reflection.ClearField(&message, &field);
  } else {
    SetValue(message, field);
  }
}

void Mutator::MutateRepeated(Message& message, const Field& field) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  if (size == 0 || Below(3) == 0) {
    SetElement(message, field, -1);
    return;
  }
  const int one = static_cast<int>(Below(static_cast<uint64_t>(size)));
  const int other = static_cast<int>(Below(static_cast<uint64_t>(size)));
  switch (Below(4)) {
    case 0:
      reflection.SwapElements(&message, &field, one, size - 1);
      reflection.RemoveLast(&message, &field);
      return;
    case 1:
      reflection.SwapElements(&message, &field, one, other);
      return;
    case 2:
      if (field.cpp_type() == Field::CPPTYPE_MESSAGE) {
        reflection.AddMessage(&message, &field)
            ->CopyFrom(reflection.GetRepeatedMessage(message, &field, one));
        return;
      }
      [[fallthrough]];
    default:
      SetElement(message, field, one);
  }
}

void Mutator::SetValue(Message& message, const Field& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case Field::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &field, Below(2) == 0);
    case Field::CPPTYPE_INT32:
      return reflection.SetInt32(
          &message, &field,
          static_cast<int32_t>(Number(
              static_cast<uint64_t>(reflection.GetInt32(message, &field)))));
    case Field::CPPTYPE_UINT32:
      return reflection.SetUInt32(
          &message, &field,
          static_cast<uint32_t>(Number(reflection.GetUInt32(message, &field))));
    case Field::CPPTYPE_INT64:
      return reflection.SetInt64(
          &message, &field,
          static_cast<int64_t>(Number(
              static_cast<uint64_t>(reflection.GetInt64(message, &field)))));
    case Field::CPPTYPE_UINT64:
      return reflection.SetUInt64(
          &message, &field, Number(reflection.GetUInt64(message, &field)));
    case Field::CPPTYPE_ENUM:
      return reflection.SetEnumValue(&message, &field,
                                     static_cast<int>(Below(32)));
    case Field::CPPTYPE_DOUBLE:
      return reflection.SetDouble(&message, &field,
                                  kDoubles[Below(std::size(kDoubles))]);
    case Field::CPPTYPE_FLOAT:
      return reflection.SetFloat(
          &message, &field,
          static_cast<float>(kDoubles[Below(std::size(kDoubles))]));
    case Field::CPPTYPE_STRING:
      return reflection.SetString(&message, &field,
                                  Text(reflection.GetString(message, &field)));
    case Field::CPPTYPE_MESSAGE:
      Fill(message, *reflection.MutableMessage(&message, &field));
  }
}

void Mutator::SetElement(Message& message, const Field& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool add = index < 0;
  switch (field.cpp_type()) {
    case Field::CPPTYPE_STRING:
      if (add) return reflection.AddString(&message, &field, Text(""));
      return reflection.SetRepeatedString(
          &message, &field, index,
          Text(reflection.GetRepeatedString(message, &field, index)));
    case Field::CPPTYPE_MESSAGE:
      if (add) Fill(message, *reflection.AddMessage(&message, &field));
      return;
    case Field::CPPTYPE_UINT32: {
      const auto value = static_cast<uint32_t>(Number(0));
      if (add) return reflection.AddUInt32(&message, &field, value);
      return reflection.SetRepeatedUInt32(&message, &field, index, value);
    }
    case Field::CPPTYPE_INT32: {
      const auto value = static_cast<int32_t>(Number(0));
      if (add) return reflection.AddInt32(&message, &field, value);
      return reflection.SetRepeatedInt32(&message, &field, index, value);
    }
    case Field::CPPTYPE_UINT64:
      if (add) return reflection.AddUInt64(&message, &field, Number(0));
      return reflection.SetRepeatedUInt64(&message, &field, index, Number(0));
    case Field::CPPTYPE_ENUM:
      if (add) return reflection.AddEnumValue(&message, &field, Below(32));
      return reflection.SetRepeatedEnumValue(&message, &field, index,
                                             static_cast<int>(Below(32)));
    default:
      return;  // there are none of the others
  }
}

}  // namespace ckpt::fuzz
