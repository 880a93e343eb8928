-- Which versions new instances are born with: of a machine's rows the newest counts. Nothing is changed in it, nor in what was
-- published; what is no longer used is retired beside it.
CREATE TABLE graph_activations (
    machine      text NOT NULL,
    revision     bigint NOT NULL CHECK (revision >= 1),
    -- [{"version": 1, "weight": 100}], one or two
    shares       jsonb NOT NULL,
    activated_by text NOT NULL,
    activated_at timestamptz NOT NULL,
    PRIMARY KEY (machine, revision)
);

CREATE TABLE graph_retirements (
    machine    text NOT NULL,
    version    bigint NOT NULL,
    retired_by text NOT NULL,
    retired_at timestamptz NOT NULL,
    PRIMARY KEY (machine, version),
    FOREIGN KEY (machine, version) REFERENCES graph_versions (machine, version)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is insert only', TG_TABLE_NAME USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_insert_only';
END $$;
CREATE TRIGGER graph_versions_insert_only BEFORE UPDATE OR DELETE ON graph_versions FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER graph_activations_insert_only BEFORE UPDATE OR DELETE ON graph_activations FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER graph_retirements_insert_only BEFORE UPDATE OR DELETE ON graph_retirements FOR EACH ROW EXECUTE FUNCTION refuse_change();
