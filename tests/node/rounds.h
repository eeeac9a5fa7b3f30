// How often a test goes there and back: $CKPT_TEST_ROUNDS, or a few times.
#ifndef CKPT_TESTS_NODE_ROUNDS_H_
#define CKPT_TESTS_NODE_ROUNDS_H_

namespace ckpt {

// `fewest` where the variable is not set, or no number above 0.
int TestRounds(int fewest);

}  // namespace ckpt

#endif  // CKPT_TESTS_NODE_ROUNDS_H_
