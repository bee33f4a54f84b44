"""Random configurations, tokens and requests, weighted towards the edges of the contract."""

from .configurations import configuration
from .keyring import keyring
from .requests import request
from .tokens import token_plan

__all__ = ["configuration", "keyring", "request", "token_plan"]
