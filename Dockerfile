# Two images from one file: `web` (api, engine, setup; no ML stack) and `worker`.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    DJANGO_SETTINGS_MODULE=aigc_platform.settings.production \
    DATA_DIR=/var/lib/aigc \
    PYTHONPATH=/app
RUN useradd --system --uid 10001 --home-dir /var/lib/aigc --create-home aigc
WORKDIR /app
# Packages first: they change less often than our code.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir aigc_platform workers ml aigc_client \
    && pip install --constraint constraints.txt --editable .

FROM base AS web
COPY aigc_platform aigc_platform
COPY ml/__init__.py ml/
COPY ml/catalog ml/catalog
# Static files need settings that are valid, not true.
RUN SECRET_KEY=only-while-building-only-while-building DATABASE_URL=postgresql://none@none/none \
    BROKER_URL=redis://none S3_ENDPOINT_URL=http://none S3_ACCESS_KEY_ID=none S3_SECRET_ACCESS_KEY=none \
    python -m django collectstatic --no-input --verbosity 0 \
    && chown -R aigc /var/lib/aigc
USER aigc
EXPOSE 8000
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
     "--blocking-threads", "4", "--respawn-failed-workers", \
     "--static-path-route", "/static", "--static-path-mount", "/var/lib/aigc/static", \
     "aigc_platform.wsgi:application"]

FROM base AS worker
# The index of torch's CPU builds for a worker without a GPU; empty takes the build that carries CUDA.
ARG TORCH_INDEX_URL=
RUN pip install --constraint constraints.txt ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
    --editable '.[worker]'
COPY aigc_platform aigc_platform
COPY ml ml
COPY workers workers
RUN mkdir -p /var/lib/aigc && chown -R aigc /var/lib/aigc
USER aigc
# A worker's own process gets the signal and drains: training leaves a checkpoint behind.
STOPSIGNAL SIGTERM
CMD ["celery", "--quiet", "-A", "workers.app", "worker", "--pool", "prefork", "--concurrency", "1", \
     "--queues", "gpu.train,gpu.sample,cpu.io", "--without-gossip", "--without-mingle", "--without-heartbeat"]
