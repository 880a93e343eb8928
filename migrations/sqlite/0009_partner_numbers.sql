-- Whose a partner's number is, whether the order lives or not: a callback that names no order of ours is found by it.
CREATE INDEX delivery_orders_number ON delivery_orders (partner_order_number) WHERE partner_order_number IS NOT NULL;
