//! What nginx, haproxy and apache are told.

use std::net::SocketAddr;
use std::process::Command;

use super::Kind;
use crate::peers::program::{Folder, Program, port};

/// Where an origin listens, and where the peers behind it do.
pub(super) struct Listens {
    pub(super) plain: SocketAddr,
    pub(super) secure: SocketAddr,
    /// TLS, with a certificate of the client's.
    pub(super) guarded: SocketAddr,
    /// Without and with TLS, where connections end soon.
    pub(super) brief: [SocketAddr; 2],
    echo: SocketAddr,
    /// Asks for content with 100, and then does as the other.
    asking: SocketAddr,
    chat: SocketAddr,
}

impl Listens {
    /// In front of these peers.
    pub(super) fn new([echo, asking, chat]: [SocketAddr; 3]) -> Self {
        Self {
            plain: port(),
            secure: port(),
            guarded: port(),
            brief: [port(), port()],
            echo,
            asking,
            chat,
        }
    }

    fn all(&self) -> [SocketAddr; 5] {
        let [brief, brief_secure] = self.brief;
        [self.plain, self.secure, self.guarded, brief, brief_secure]
    }
}

/// Starts an origin with what stands in the folder: `files`, `cert.pem`, `key.pem`, both in `both.pem`, and `ca.pem`.
pub(super) fn start(kind: Kind, folder: &Folder, listens: &Listens) -> Vec<Program> {
    match kind {
        Kind::Nginx => vec![nginx(folder, listens, "")],
        Kind::Apache => vec![apache(folder, listens)],
        Kind::Haproxy => {
            let behind = Listens::new([listens.echo, listens.asking, listens.chat]);
            let nginx = nginx(folder, &behind, "behind-");
            vec![haproxy(folder, listens, behind.plain), nginx]
        }
    }
}

/// Its unix sockets have names that begin with a prefix.
fn nginx(folder: &Folder, listens: &Listens, prefix: &str) -> Program {
    let dir = folder.path().display();
    let Listens {
        plain,
        secure,
        guarded,
        brief: [brief, brief_secure],
        echo,
        chat,
        ..
    } = listens;
    // A filter that never finds its text takes the length away: only chunks have room for trailers.
    let config = format!(
        r#"
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:sessions:1m;
    proxy_http_version 1.1;
    client_max_body_size 0;
    server {{
        listen {plain};
        listen {secure} ssl;
        listen unix:{dir}/{prefix}plain.sock;
        listen unix:{dir}/{prefix}secure.sock ssl;
        keepalive_requests 1000;
        location /files/ {{ alias {dir}/files/; }}
        location /trailers/ {{
            alias {dir}/files/;
            sub_filter_types *;
            sub_filter "a text that is nowhere" "";
            add_trailer X-Sum $status;
        }}
        location /echo {{ proxy_pass http://{echo}; proxy_request_buffering off; }}
        location /expect {{ proxy_pass http://{echo}; }}
        location /small {{ proxy_pass http://{echo}; client_max_body_size 1k; }}
        location /chat {{
            proxy_pass http://{chat};
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
        }}
    }}
    server {{
        listen {guarded} ssl;
        ssl_client_certificate {dir}/ca.pem;
        ssl_verify_client on;
        location /files/ {{ alias {dir}/files/; }}
    }}
    server {{
        listen {brief};
        listen {brief_secure} ssl;
        keepalive_timeout 1s;
        keepalive_requests 3;
        location /files/ {{ alias {dir}/files/; }}
    }}
}}
"#
    );
    let config = folder.write("nginx.conf", config);
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr", "-p"]).arg(folder.path());
    Program::start(command.arg("-c").arg(config), folder, &listens.all())
}

fn haproxy(folder: &Folder, listens: &Listens, files: SocketAddr) -> Program {
    let dir = folder.path().display();
    let Listens {
        plain,
        secure,
        guarded,
        brief: [brief, brief_secure],
        echo,
        chat,
        ..
    } = listens;
    let tls = format!("ssl crt {dir}/both.pem");
    let config = format!(
        r#"
global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend usual
    bind {plain}
    bind {secure} {tls}
    bind {guarded} {tls} ca-file {dir}/ca.pem verify required
    bind unix@{dir}/plain.sock
    bind unix@{dir}/secure.sock {tls}
    http-request return status 413 content-type text/plain string "too large" if {{ path /small }}
    use_backend echo if {{ path /echo }}
    use_backend chat if {{ path /chat }}
    default_backend files
frontend brief
    bind {brief}
    bind {brief_secure} {tls}
    timeout http-keep-alive 1s
    default_backend files
backend echo
    server echo {echo}
backend chat
    server chat {chat}
backend files
    server files {files}
"#
    );
    let config = folder.write("haproxy.cfg", config);
    let mut command = Command::new("haproxy");
    Program::start(
        command.args(["-db", "-f"]).arg(config),
        folder,
        &listens.all(),
    )
}

fn apache(folder: &Folder, listens: &Listens) -> Program {
    let dir = folder.path().display();
    let Listens {
        plain,
        secure,
        guarded,
        brief: [brief, brief_secure],
        echo,
        asking,
        chat,
    } = listens;
    let modules: String = [
        "mpm_event",
        "authz_core",
        "alias",
        "socache_shmcb",
        "ssl",
        "proxy",
        "proxy_http",
        "proxy_wstunnel",
    ]
    .iter()
    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
    .collect();
    let listen: String = listens
        .all()
        .iter()
        .map(|addr| format!("Listen {addr}\n"))
        .collect();
    let tls = format!(
        "SSLEngine on\nSSLCertificateFile {dir}/cert.pem\nSSLCertificateKeyFile {dir}/key.pem"
    );
    let usual = format!(
        "ProxyPass /echo http://{echo}/echo\n\
        ProxyPass /expect http://{asking}/expect\n\
        ProxyPass /chat http://{chat}/chat upgrade=websocket\n\
        Alias /small {dir}/files/file\n\
        <Location /small>\nLimitRequestBody 1024\n</Location>"
    );
    let config = format!(
        r"
{modules}
{listen}
ServerName localhost
ServerRoot {dir}
DefaultRuntimeDir {dir}
PidFile {dir}/apache.pid
ErrorLog /dev/stderr
User www-data
Group www-data
StartServers 1
ServerLimit 2
ThreadsPerChild 25
MaxRequestWorkers 50
Alias /files {dir}/files
<Directory {dir}/files>
Require all granted
</Directory>
SSLSessionCache shmcb:{dir}/sessions(512000)
LimitRequestBody 0
MaxKeepAliveRequests 1000
<VirtualHost {plain}>
{usual}
</VirtualHost>
<VirtualHost {secure}>
{tls}
{usual}
</VirtualHost>
<VirtualHost {guarded}>
{tls}
SSLCACertificateFile {dir}/ca.pem
SSLVerifyClient require
</VirtualHost>
<VirtualHost {brief}>
KeepAliveTimeout 1
MaxKeepAliveRequests 3
</VirtualHost>
<VirtualHost {brief_secure}>
{tls}
KeepAliveTimeout 1
MaxKeepAliveRequests 3
</VirtualHost>
"
    );
    let config = folder.write("apache.conf", config);
    let mut command = Command::new("apache2");
    let command = command.args(["-DFOREGROUND", "-f"]).arg(config);
    Program::start(command, folder, &listens.all())
}
