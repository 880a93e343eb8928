-- How an instance of any machine ended; one without an outcome is live. While a release before this one still writes, the record of
-- a delivery order is what counts.
ALTER TABLE instances ADD COLUMN outcome text CHECK (outcome IN ('success', 'failure', 'cancelled'));
UPDATE instances SET outcome = d.outcome FROM delivery_orders d WHERE d.order_id = instances.id AND d.outcome IS NOT NULL;
