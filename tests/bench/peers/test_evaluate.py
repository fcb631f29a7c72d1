"""What the numbers mean, on files written by hand."""

import pathlib
import tempfile
import unittest

from evaluate import Effects, rate, survived


class Evaluate(unittest.TestCase):
    """Process 1 is killed at 10 s."""

    def read(self, *lines):
        """The effects of lines `letter task process seconds`."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "effects"
            whole = [f"{what} {no} {process} {int(at * 1e9)}" for what, no, process, at in lines]
            path.write_text("\n".join(whole) + "\nE 99 1 half a li")
            return Effects(path).update()

    def survived(self, effects, count, left):
        """After one kill of process 1."""
        return survived(effects, count, [({1}, 10.0)], left, 150, 20)

    def test_a_rate_runs_from_the_first_effect_to_the_last(self):
        told = rate(self.read(("E", 1, 1, 5), ("E", 2, 2, 6), ("E", 3, 1, 7)), 4)
        self.assertEqual((told["tasks"], told["of"], told["seconds"], told["tasks_per_s"]), (3, 4, 2, 1))

    def test_an_interrupted_task_recovers_with_its_first_effect(self):
        effects = self.read(("S", 1, 1, 9.9), ("S", 2, 2, 9), ("E", 2, 2, 9.5), ("S", 1, 2, 11), ("E", 1, 2, 12.5))
        told = self.survived(effects, 2, 0)
        self.assertEqual(told["interrupted"], 1)
        self.assertEqual(told["recovery_s"], {"median": 2.5, "worst": 2.5, "not_within_patience": 0})
        self.assertEqual((told["lost"], told["stuck"], told["duplicate_effects"], told["begun_again"]), (0, 0, 0, 1))
        self.assertEqual(told["last_effect_after_last_kill_s"], 2.5)

    def test_a_second_effect_is_a_duplicate(self):
        told = self.survived(self.read(("S", 1, 1, 9), ("E", 1, 1, 9.9), ("S", 1, 2, 10.2), ("E", 1, 2, 10.3)), 1, 1)
        self.assertEqual((told["duplicate_effects"], told["interrupted"], told["begun_again"]), (1, 0, 1))
        self.assertEqual((told["held_with_effect"], told["stuck"]), (1, 0))

    def test_what_is_missing_is_lost_unless_the_system_still_holds_it(self):
        effects = self.read(("S", 1, 1, 9.9), ("S", 2, 1, 9.9), ("E", 3, 2, 11))
        self.assertEqual([self.survived(effects, 3, left)[key] for left in (0, 1, 2) for key in ("lost", "stuck")], [2, 0, 1, 1, 0, 2])
        told = self.survived(effects, 3, 2)
        self.assertEqual(told["recovery_s"], {"median": None, "worst": None, "not_within_patience": 2})


if __name__ == "__main__":
    unittest.main()
