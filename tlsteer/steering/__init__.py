"""Attach vectors to a model: interventions, the context that applies them, and a receipt of what it did."""

from tlsteer.steering.attach import Runner, attach, steer
from tlsteer.steering.interventions import Intervention, Interventions, Write, listed
from tlsteer.steering.receipts import Receipt, SiteReceipt

__all__ = ["Intervention", "Interventions", "Receipt", "Runner", "SiteReceipt", "Write", "attach", "listed", "steer"]
