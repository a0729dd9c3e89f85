"""Cooperation of processes: leases, signs of life, the doorbell, alarms.

May touch models; decides nothing about a request.
"""
