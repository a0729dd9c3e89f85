"""The checks of the doctor, one module for each place.

`pkiportal.doctor.diagnosis` lists them. They only read.
"""
