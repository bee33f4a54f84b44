"""A model of GMS that an ingestion can write to. How it authenticates is in tests/real/datahub/gms.py."""

import gms
from backend import GOOD
from model import Model, Refused
from tokens import SIGNING_KEY


class DataHub(Model):
    public = ("/config",)

    def __init__(self, users):
        super().__init__()
        self.gms = gms.Gms(SIGNING_KEY, "salt")
        self.gms.users = dict.fromkeys(users, True)
        # The entities that have properties.
        self.datasets = set()

    def authenticate(self, authorization):
        try:
            actor = self.gms.authenticate(authorization)
        except gms.Refused as refused:
            raise Refused(401, str(refused)) from None
        return actor, self.gms.verified(authorization[7:])

    def serve(self, method, path, body):
        if f"{method} {path}" == "POST /aspects":
            if body["proposal"]["aspectName"] == "datasetProperties":
                self.datasets.add(body["proposal"]["entityUrn"])
            return {"value": body["proposal"]["entityUrn"]}
        good = GOOD.get(f"{method} {path}")
        if good is None:
            raise Refused(404, "not found")
        return good
