"""What must never happen to a record, tried: kills, cut lines, full disks, forgers, wrong clocks.

Real daemons, a real Mosquitto, a real disk. After each scenario the two stores and what went over
the wire are compared with what was seen committed.
"""
