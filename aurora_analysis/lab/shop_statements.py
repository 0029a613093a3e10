"""Statements that run on the simulated cluster `shop`, with their users, hosts and latencies."""

from __future__ import annotations

USERS = {
    "snowflake": ("10.20.3.44", "SELECT o.* FROM orders o WHERE o.changed_at >= '2026-11-01' ORDER BY o.id"),
    "tableau": (
        "10.20.3.51",
        "SELECT l.region, SUM(l.amount) FROM order_lines l JOIN products p ON p.id = l.product_id WHERE p.range_id = 7 GROUP BY l.region",
    ),
    "finance": (
        "10.20.4.12",
        "SELECT i.id, i.net, i.tax FROM invoices i WHERE i.booked_on = '2026-11-01' ORDER BY i.id",
    ),
    "deploy": ("10.20.1.5", "UPDATE orders SET channel = 'web' WHERE channel IS NULL"),
    "batch": (
        "10.20.1.8",
        "INSERT INTO daily_sales SELECT product_id, SUM(amount) FROM order_lines WHERE sold_on = '2026-11-01' AND shard = 3 GROUP BY product_id",
    ),
}
"""User → (host, statement) of the long-running work."""

MIXES = {
    "writer": (
        ("app", "INSERT INTO orders (customer_id, amount, placed_at) VALUES (17, 9.9, '2026-11-02')", 90.0),
        ("app", "UPDATE stock SET free = free - 1 WHERE product_id = 7", 130.0),
        ("app", "SELECT * FROM carts WHERE customer_id = 17 FOR UPDATE", 60.0),
    ),
    "other": (
        ("dashboard", "SELECT COUNT(*) FROM orders WHERE placed_at > '2026-11-02'", 150.0),
        ("app", "SELECT * FROM products WHERE range_id = 7 ORDER BY name LIMIT 20", 90.0),
    ),
    "analytics": (("dashboard", "SELECT status, COUNT(*) FROM orders GROUP BY status", 170.0),),
}
"""Role → (user, statement, median latency [ms]) of the short work; only its tail reaches the slow log."""

RELEASED = (
    "app",
    "SELECT p.* FROM products p JOIN scores s ON s.product_id = p.id WHERE s.customer_id = 17 ORDER BY s.score DESC LIMIT 10",
    120.0,
)
"""The statement that the release starts on the reader `other`; it is never slow enough for the slow log."""


def host(user: str) -> str:
    """Address from which a user of the short work connects."""
    return "10.20.2.20" if user == "dashboard" else "10.20.1.17"
