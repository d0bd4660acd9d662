# One image for both functions, and for `migrate` on any other compute.
ARG BASE_IMAGE=public.ecr.aws/lambda/python:3.13

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY constraints.txt pyproject.toml ./
# A package index or a certificate authority of your own is a secret: `index` has lines such as UV_DEFAULT_INDEX=…, `ca`
# is a file of certificates. Only uv accepts hashes for a part of a constraints file; pip installs uv, by its own hash.
RUN --mount=type=secret,id=index --mount=type=secret,id=ca set -ea; \
    if [ -f /run/secrets/index ]; then . /run/secrets/index; fi; \
    if [ -f /run/secrets/ca ]; then PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi; \
    sed -n '/^uv==/,/[^\\]$/p' constraints.txt > uv.txt; \
    python3 -m pip install --quiet --root-user-action ignore --no-cache-dir --require-hashes --target uv --requirement uv.txt; \
    uv/bin/uv pip install --no-cache --no-build --require-hashes --python "$(command -v python3)" --target /opt/python \
        --constraints constraints.txt --requirements pyproject.toml \
        --extra agent --extra aws --extra cli --extra lint; \
    rm -rf /opt/python/.lock /opt/python/phonenumbers/geodata; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/python

FROM ${BASE_IMAGE} AS code
WORKDIR /var/task
COPY src alembic.ini migrate.toml ./
COPY alembic alembic
# The checksum is that of a revision's text, so Python must not run older bytecode of the revision.
RUN chmod -R a+rX . \
    && python3 -m compileall -q --invalidation-mode unchecked-hash runner dispatch_agent models \
    && python3 -m compileall -q --invalidation-mode checked-hash alembic

FROM ${BASE_IMAGE}
COPY --from=packages /opt/python /opt/python
ARG RDS_CA=https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem
ADD --chmod=644 ${RDS_CA} /opt/rds-ca.pem
COPY --chmod=755 image/entrypoint /opt/entrypoint
COPY --from=code /var/task /var/task
# The packages come first on the path, so that Python does not import the folder `alembic/` instead of the package.
ENV LAMBDA_TASK_ROOT=/var/task \
    PATH=/opt/python/bin:$PATH \
    PGSSLROOTCERT=/opt/rds-ca.pem \
    PYTHONPATH=/opt/python:/var/task
WORKDIR /var/task
# Lambda runs the image as a user of its own, whatever this line says.
USER 65534:65534
ENTRYPOINT ["/opt/entrypoint"]
CMD ["runner.handler.handler"]
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.source=${SOURCE}
