# docker build -t leveret .
# docker run -p 5672:5672 -p 15672:15672 -v leveret:/data leveret

FROM node:26-bookworm AS build
WORKDIR /leveret
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:26-bookworm-slim
# Clients of a container never come from loopback: as in RabbitMQ's image, guest may log in from anywhere.
ENV NODE_ENV=production LEVERET_DATA=/data LEVERET_LOOPBACK_USERS=none
WORKDIR /leveret
COPY --from=build /leveret/package.json /leveret/LICENSE ./
COPY --from=build /leveret/node_modules node_modules
COPY --from=build /leveret/dist/protocol dist/protocol
COPY --from=build /leveret/dist/storage dist/storage
COPY --from=build /leveret/dist/server dist/server
RUN ln -s /leveret/dist/server/main.js /usr/local/bin/leveret \
 && chmod +x dist/server/main.js \
 && mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 5672 15672
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s \
  CMD ["node", "dist/server/main.js", "healthcheck"]
CMD ["node", "--max-semi-space-size=1", "--heap-growing-percent=25", "dist/server/main.js", "start"]
