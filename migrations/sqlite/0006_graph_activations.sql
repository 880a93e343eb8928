-- Which versions new instances are born with: of a machine's rows the newest counts. Nothing is changed in it, nor in what was
-- published; what is no longer used is retired beside it.
CREATE TABLE graph_activations (
    machine      TEXT NOT NULL,
    revision     INTEGER NOT NULL CHECK (revision >= 1),
    -- [{"version": 1, "weight": 100}], one or two
    shares       TEXT NOT NULL,
    activated_by TEXT NOT NULL,
    activated_at TEXT NOT NULL,
    PRIMARY KEY (machine, revision)
);

CREATE TABLE graph_retirements (
    machine    TEXT NOT NULL,
    version    INTEGER NOT NULL,
    retired_by TEXT NOT NULL,
    retired_at TEXT NOT NULL,
    PRIMARY KEY (machine, version),
    FOREIGN KEY (machine, version) REFERENCES graph_versions (machine, version)
);

CREATE TRIGGER graph_versions_no_update BEFORE UPDATE ON graph_versions BEGIN SELECT RAISE(ABORT, 'graph_versions is insert only'); END;
CREATE TRIGGER graph_versions_no_delete BEFORE DELETE ON graph_versions BEGIN SELECT RAISE(ABORT, 'graph_versions is insert only'); END;
CREATE TRIGGER graph_activations_no_update BEFORE UPDATE ON graph_activations BEGIN SELECT RAISE(ABORT, 'graph_activations is insert only'); END;
CREATE TRIGGER graph_activations_no_delete BEFORE DELETE ON graph_activations BEGIN SELECT RAISE(ABORT, 'graph_activations is insert only'); END;
CREATE TRIGGER graph_retirements_no_update BEFORE UPDATE ON graph_retirements BEGIN SELECT RAISE(ABORT, 'graph_retirements is insert only'); END;
CREATE TRIGGER graph_retirements_no_delete BEFORE DELETE ON graph_retirements BEGIN SELECT RAISE(ABORT, 'graph_retirements is insert only'); END;
