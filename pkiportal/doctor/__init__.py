"""The looks of the doctor, one module for each place.

`pkiportal.doctor.diagnosis` lists them; none of them writes.
"""
