-- Landmarks of sources: where the face is, for jobs that frame their sources as FFHQ does.

ALTER TABLE sources ADD COLUMN landmarks jsonb CHECK (jsonb_typeof(landmarks) = 'array');
COMMENT ON COLUMN sources.landmarks IS
    '5 or 68 points [x, y] in pixels of the upright image; given once and never replaced, because stage keys are made of them';

ALTER TABLE datasets ADD COLUMN landmarks bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN datasets.landmarks IS 'how many sources have landmarks; adding takes this row''s lock';
