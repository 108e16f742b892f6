# nkca-interactive with a packaged model, on the CPU, not as root. Everybody who has the printed address can use it:
#
#     docker build -t nkca .
#     docker run --rm -p 8000:8000 nkca                            the clothes; it prints the address with its token
#     docker run --rm -p 8000:8000 nkca nkca-interactive demo-pixels --no-browser
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
CMD ["nkca-interactive", "demo", "--no-browser"]
