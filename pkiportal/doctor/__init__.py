"""The looks of the doctor, one module for each place. `pkiportal.diagnosis` lists them; none of them writes."""
