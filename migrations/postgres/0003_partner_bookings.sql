-- Partners name a delivery by their own id: callbacks without our reference are matched by it.
-- Not concurrently: a second process that waits for its turn to migrate would be waited for.
CREATE INDEX delivery_orders_booking ON delivery_orders (partner, partner_booking_id) WHERE partner_booking_id IS NOT NULL;
