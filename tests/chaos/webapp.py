"""The web application with the points in it, for granian's worker processes."""

from pkiportal.web.rsgi import front
from tests.chaos import points

__all__ = ["front"]

points.install_web()
