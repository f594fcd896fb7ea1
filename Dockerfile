# One image for every role: `docker run tidegate` starts all of them (`tidegate up`), and
# `docker run tidegate server` (or `worker`, `controller`, `dashboard`) starts one.

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY protos protos
COPY sdk sdk
COPY server server
COPY examples examples
RUN python -m venv /opt/tidegate \
    && /opt/tidegate/bin/pip install --no-cache-dir ".[dashboard]"

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/tidegate --create-home tidegate
COPY --from=build /opt/tidegate /opt/tidegate
ENV PATH="/opt/tidegate/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    TIDEGATE_LISTEN=0.0.0.0:7070 \
    TIDEGATE_DASHBOARD_LISTEN=0.0.0.0:7071 \
    TIDEGATE_DATA_DIR=/var/lib/tidegate \
    TIDEGATE_LOG_FORMAT=json
USER tidegate
WORKDIR /var/lib/tidegate
VOLUME /var/lib/tidegate
EXPOSE 7070 7071
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["tidegate", "health"]
ENTRYPOINT ["tidegate"]
CMD ["up"]
