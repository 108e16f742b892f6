# nkca-interactive on the CPU, not as root: the packaged models, each visitor with chains of their own. Everybody who
# has the printed address can use it:
#
#     docker build -t nkca .
#     docker run --rm -p 8000:8000 nkca                                     it prints the address with its token
#     docker run --rm -p 8000:8000 -v "$PWD/runs:/home/nkca/runs:ro" nkca   your models in the gallery as well
#     docker run --rm -p 8000:8000 nkca nkca-interactive demo --no-browser  one model, the same chains for all
FROM python:3.11-slim
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /nkca/
COPY src /nkca/src
RUN pip install --no-cache-dir '/nkca[live]'
RUN useradd --create-home nkca
USER nkca
WORKDIR /home/nkca
ENV NKCA_HOST=0.0.0.0 NKCA_PORT=8000
EXPOSE 8000
CMD ["nkca-interactive", "--per-visitor", "--no-browser"]
