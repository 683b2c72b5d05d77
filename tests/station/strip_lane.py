"""The beginning of a small station file: one digitiser, one lane of two strip rows.

What is appended may begin with more keys of the lane.
"""

STRIP_LANE = """
[station]
id = "SIM"
[[digitiser]]
id = "D1"
url = "run/d1"
channels = ["a", "b", "c", "d"]
[[lane]]
id = "1"
digitiser = "D1"
row = [
    { position_m = 0.0, width_m = 0.07, kind = "strip", left = "a", right = "b" },
    { position_m = 2.1, width_m = 0.07, kind = "strip", left = "c", right = "d" },
]
"""
