"""The web application with the points in it, for granian's worker processes."""

from pkiportal.wsgi import application
from tests.chaos import points

__all__ = ["application"]

points.install_web()
